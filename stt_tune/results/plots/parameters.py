"""Hyperparameters against results."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from stt_tune.results.plots.theme import (
    BLUE,
    COLOURS,
    GREY,
    ORANGE,
    STATUS_SYMBOLS,
    escape,
    format_value,
    is_numeric,
    is_wide,
    name_ticks,
    new_figure,
)
from stt_tune.results.trials import CONFIG

_MOST_COLOURS = len(COLOURS) - 1
_HEIGHT = "drawn at"  # a column of those below


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
        colour_by: Another hyperparameter, for which `has_colours`; else, and if None, colours say nothing.
        mode: `min` or `max`.
    """
    figure = new_figure(parameter, f"{metric} on dev", height=420)
    shown = _place_diverged(trials.dropna(subset=[f"{CONFIG}{parameter}"]), metric, mode)
    groups = [("trials", shown)]
    if colour_by is not None and has_colours(trials, colour_by):
        groups = [
            (f"{colour_by} {format_value(value)}", group) for value, group in shown.groupby(f"{CONFIG}{colour_by}")
        ]
    for (name, group), colour in zip(groups, COLOURS, strict=False):
        one = {"mode": "markers", "legendgroup": escape(name)}
        marker = {"color": colour, "size": 9, "symbol": [STATUS_SYMBOLS[each] for each in group["status"]]}
        figure.add_scatter(**_points(group, parameter, metric), **one, marker=marker, showlegend=False)
        # the legend would show the first trial's mark
        figure.add_scatter(x=[None], y=[None], **one, name=escape(name), marker={**marker, "symbol": "circle"})
    default = shown[shown["is_default"]]
    if len(default):
        marker = {"symbol": "star-open", "size": 18, "color": ORANGE, "line": {"width": 2}}
        figure.add_scatter(**_points(default, parameter, metric), mode="markers", name="default", marker=marker)
    _scale(figure, shown[f"{CONFIG}{parameter}"])
    return figure


def has_colours(trials: pd.DataFrame, parameter: str) -> bool:
    """Whether a hyperparameter has so few values that there is a colour for each."""
    return bool(trials[f"{CONFIG}{parameter}"].nunique() <= _MOST_COLOURS)


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
    _scale(figure, dependence["value"])
    return figure


def _points(group: pd.DataFrame, parameter: str, metric: str) -> dict[str, Any]:
    values = group[f"{CONFIG}{parameter}"]
    return {
        "x": values if is_numeric(values) else [escape(each) for each in values],
        "y": group[_HEIGHT],
        "hoverinfo": "text",
        "text": [
            f"trial {number} ({status.replace('_', ' ')}): {escape(format_value(value))}, "
            f"{format_value(result) if math.isfinite(result) else 'no result'}"
            for number, status, value, result in zip(
                group["number"], group["status"], values, group[metric], strict=True
            )
        ],
    }


def _place_diverged(trials: pd.DataFrame, metric: str, mode: str) -> pd.DataFrame:
    """The trials that can be drawn: those with a value, and those that diverged at the worst of these."""
    is_finite = np.isfinite(trials[metric].to_numpy(float))
    values = trials[metric][is_finite]
    worst = values.min() if mode == "max" else values.max()
    heights = trials.assign(**{_HEIGHT: trials[metric].where(is_finite, worst)})
    drawn: pd.DataFrame = pd.concat([heights[is_finite], heights[~is_finite & (trials["status"] == "diverged")]])
    return drawn


def _scale(figure: Any, values: pd.Series) -> None:
    """Make the horizontal axis one of names, or logarithmic, where the values are so."""
    if not is_numeric(values):
        figure.update_xaxes(**name_ticks(values.unique()))
    elif is_wide(values):
        figure.update_xaxes(type="log", dtick=1, exponentformat="power")
