"""All hyperparameters of all trials at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from stt_tune.results.plots.theme import (
    SCALE,
    build_template,
    escape,
    format_value,
    is_numeric,
    is_wide,
    make_visible,
    shorten,
)
from stt_tune.results.trials import CONFIG

_TICKS = 5
_DIMENSION = 110  # pixels
_TICK_LENGTH = 12
_HALF = 0.5
_BEYOND = 3.0  # interquartile ranges


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
    low, high = _reach(trials[metric], mode)
    figure = go.Figure(
        go.Parcoords(
            dimensions=[
                *(_dimension(trials[f"{CONFIG}{name}"], name) for name in parameters),
                _cut(_dimension(trials[metric].clip(low, high), metric), trials[metric], low, high),
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


def _reach(values: pd.Series, mode: str) -> tuple[float, float]:
    """Bounds of colours and axis, so that a few wild values do not make all others look alike.

    The best ones are never beyond, and none is where most are the same.
    """
    low, high = float(values.min()), float(values.max())
    quarter, three = (float(values.quantile(share)) for share in (0.25, 0.75))
    wide = _BEYOND * (three - quarter)
    if not wide:
        return low, high
    return (low, min(high, three + wide)) if mode == "min" else (max(low, quarter - wide), high)


def _cut(dimension: dict[str, Any], values: pd.Series, low: float, high: float) -> dict[str, Any]:
    """Say at the end of an axis that some lines end there which belong beyond it."""
    texts = dimension["ticktext"]
    if high < values.max():
        return {**dimension, "ticktext": [*texts[:-1], f"≥ {texts[-1]}"]}
    return {**dimension, "ticktext": [f"≤ {texts[0]}", *texts[1:]]} if low > values.min() else dimension
