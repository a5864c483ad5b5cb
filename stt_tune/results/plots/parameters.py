"""Hyperparameters against results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from stt_tune.results.plots.theme import (
    BLUE,
    COLOURS,
    GREY,
    ORANGE,
    SCALE,
    STATUS_SYMBOLS,
    build_template,
    escape,
    format_value,
    is_numeric,
    is_wide,
    make_visible,
    name_ticks,
    new_figure,
    shorten,
)

_CONFIG = "config."
_MOST_COLOURS = len(COLOURS) - 1
_TICKS = 5
_DIMENSION = 110  # pixels
_TICK_LENGTH = 12
_HALF = 0.5
_BEYOND = 3.0  # interquartile ranges


def plot_parameter(
    trials: pd.DataFrame,
    parameter: str = "learning_rate",
    metric: str = "wer",
    colour_by: str | None = None,
    mode: str = "min",
) -> Any:
    """Draw each trial's last metric against one of its hyperparameters; open marks were stopped early.

    Trials that diverged are crosses, at the height of the worst of the others.

    Args:
        trials: What `load_trials` gives.
        parameter: A hyperparameter; drawn on a logarithmic axis when it spans over a decade.
        metric: A column of `trials`.
        colour_by: Another hyperparameter, of few values; None: colours say nothing.
        mode: `min` or `max`.
    """
    figure = new_figure(parameter, f"{metric} on dev", height=420)
    shown = trials.dropna(subset=[f"{_CONFIG}{parameter}"])
    finite = shown[np.isfinite(shown[metric].to_numpy(float))]
    diverged = shown[shown["status"] == "diverged"].drop(finite.index, errors="ignore")
    worst = finite[metric].min() if mode == "max" else finite[metric].max()
    shown = pd.concat([finite, diverged.assign(**{metric: worst})])
    groups = [("trials", shown)]
    if colour_by is not None and shown[f"{_CONFIG}{colour_by}"].nunique() <= _MOST_COLOURS:
        groups = [
            (f"{colour_by} {format_value(value)}", group) for value, group in shown.groupby(f"{_CONFIG}{colour_by}")
        ]
    for (name, group), colour in zip(groups, COLOURS, strict=False):
        marker = {"color": colour, "size": 9, "symbol": [STATUS_SYMBOLS[each] for each in group["status"]]}
        points = _points(group, parameter, metric)
        figure.add_scatter(**points, mode="markers", marker=marker, legendgroup=escape(name), showlegend=False)
        # the legend would show the first trial's mark
        filled = {"color": colour, "size": 9, "symbol": "circle"}
        figure.add_scatter(
            x=[None], y=[None], mode="markers", name=escape(name), marker=filled, legendgroup=escape(name)
        )
    default = shown[shown["is_default"]]
    if len(default):
        marker = {"symbol": "star-open", "size": 18, "color": ORANGE, "line": {"width": 2}}
        figure.add_scatter(**_points(default, parameter, metric), mode="markers", name="default", marker=marker)
    values = shown[f"{_CONFIG}{parameter}"]
    if not is_numeric(values):
        figure.update_xaxes(**name_ticks(values.unique()))
    elif is_wide(values):
        figure.update_xaxes(type="log", dtick=1, exponentformat="power")
    return figure


def plot_parallel_coordinates(
    trials: pd.DataFrame, parameters: Sequence[str], metric: str = "wer", mode: str = "min"
) -> Any:
    """Draw a line a trial through its hyperparameters to its result, coloured by that; drag on an axis to select.

    Args:
        trials: Completed trials, as `load_trials` gives them.
        parameters: Which of the hyperparameters.
        metric: A column of `trials`.
        mode: `min` or `max`.
    """
    low, high = _reach(trials[metric])
    figure = go.Figure(
        go.Parcoords(
            dimensions=[
                *(_dimension(trials[f"{_CONFIG}{name}"], name) for name in parameters),
                _dimension(trials[metric].clip(low, high), metric),
            ],
            line={
                "color": trials[metric],
                "cmin": low,
                "cmax": high,
                "colorscale": SCALE,
                "reversescale": mode == "max",
                "showscale": True,
                "colorbar": {"title": {"text": escape(shorten(metric))}, "thickness": 12},
            },
            labelangle=-20,
            rangefont={"color": "rgba(0,0,0,0)"},  # the ends have ticks
        )
    )
    margin = {"l": 100, "r": 20, "t": 76, "b": 24}
    width = _DIMENSION * (len(parameters) + 1) + 160
    figure.update_layout(template=build_template(), height=420, margin=margin, meta={"least_width": width})
    return figure


def plot_importance(importance: pd.DataFrame) -> Any:
    """Draw how much worse the results are foretold without knowing each hyperparameter, with the spread.

    Args:
        importance: Columns `parameter`, `importance` and `spread`, the most important first.
    """
    figure = new_figure("loss of explained variance", "", height=120 + 30 * len(importance))
    figure.add_bar(
        x=importance["importance"],
        y=[escape(each) for each in importance["parameter"]],
        error_x={"type": "data", "array": importance["spread"], "thickness": 2, "color": GREY},
        orientation="h",
        marker={"color": BLUE},
        hovertemplate="%{y}: %{x:.3f}<extra></extra>",
    )
    figure.update_yaxes(autorange="reversed", **name_ticks(importance["parameter"]))
    return figure


def plot_partial_dependence(dependence: pd.DataFrame, parameter: str, metric: str = "wer") -> Any:
    """Draw the metric that a model of the trials expects for each value of a hyperparameter, all others as they came.

    Args:
        dependence: Columns `value`, `expected`, and `low` and `high`, between which models of parts of the trials lie.
        parameter: The hyperparameter.
        metric: What is expected.
    """
    figure = new_figure(parameter, f"expected {metric}", height=280)
    numeric = is_numeric(dependence["value"])
    x = dependence["value"] if numeric else [escape(each) for each in dependence["value"]]
    if numeric:
        band = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False}
        figure.add_scatter(x=x, y=dependence["high"], **band)
        figure.add_scatter(x=x, y=dependence["low"], fill="tonexty", fillcolor="rgba(59,130,196,0.2)", **band)
    errors = {
        "type": "data",
        "array": dependence["high"] - dependence["expected"],
        "arrayminus": dependence["expected"] - dependence["low"],
    }
    figure.add_scatter(
        x=x,
        y=dependence["expected"],
        error_y=None if numeric else errors,
        mode="lines" if numeric else "markers",
        line={"color": BLUE, "width": 3},
        marker={"color": BLUE, "size": 10},
        showlegend=False,
    )
    if not numeric:
        figure.update_xaxes(**name_ticks(dependence["value"]))
    elif is_wide(dependence["value"]):
        figure.update_xaxes(type="log", dtick=1, exponentformat="power")
    return figure


def _points(group: pd.DataFrame, parameter: str, metric: str) -> dict[str, Any]:
    values = group[f"{_CONFIG}{parameter}"]
    return {
        "x": values if is_numeric(values) else [escape(each) for each in values],
        "y": group[metric],
        "hoverinfo": "text",
        "text": [
            f"trial {number} ({status.replace('_', ' ')}): {escape(format_value(value))}, {format_value(result)}"
            for number, status, value, result in zip(
                group["number"], group["status"], values, group[metric], strict=True
            )
        ],
    }


def _dimension(values: pd.Series, name: str) -> dict[str, Any]:
    label = escape(shorten(name))
    if not is_numeric(values.dropna()):
        named = values.map(str)
        names = sorted(named.unique())
        return {
            "label": label,
            "values": named.map(names.index),
            "tickvals": list(range(len(names))),
            "ticktext": [make_visible(shorten(each, _TICK_LENGTH)) for each in names],  # no tags are read in these
            "range": [-_HALF, len(names) - _HALF],
        }
    numbers = values.astype(float)
    numbers = numbers.fillna(numbers.min())
    is_log = is_wide(numbers)
    shown = np.log10(numbers.to_numpy(float)) if is_log else numbers.to_numpy(float)
    ticks = np.unique(shown)
    if len(ticks) > _TICKS or (ticks % 1).any():  # others may lie too near each other to be written
        ticks = np.linspace(ticks[0], ticks[-1], _TICKS)
    texts = [format_value(10**each if is_log else each) for each in ticks]
    return {"label": label, "values": shown, "tickvals": ticks, "ticktext": texts}


def _reach(values: pd.Series) -> tuple[float, float]:
    """Bounds of the colours, so that a few wild values do not make all others look alike."""
    quarter, three = (float(values.quantile(share)) for share in (0.25, 0.75))
    wide = _BEYOND * (three - quarter)
    return max(float(values.min()), quarter - wide), min(float(values.max()), three + wide)
