"""How learning and searching went."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from stt_tune.results.plots.theme import (
    BLUE,
    COLOURS,
    GREEN,
    GREY,
    ORANGE,
    RED,
    STATUS_COLOURS,
    escape,
    format_value,
    new_figure,
    shorten,
)

_MANY_TRIALS = 60  # more curves are drawn without a mark at each report
_HIGHEST = 3.0  # medians; a curve that starts or diverges far above must not press the others together


def plot_learning_curves(
    reports: pd.DataFrame,
    metric: str = "wer",
    rungs: Sequence[int] = (),
    winner: int | None = None,
    mode: str = "min",
) -> Any:
    """Draw the metric over epochs, a line a trial, coloured by status; the default's is dashed.

    Args:
        reports: What `load_reports` gives.
        metric: A column of `reports`.
        rungs: Epochs at which the longest trials are compared with the others.
        winner: The number of the trial that was best.
        mode: `min` or `max`.
    """
    figure = new_figure("epoch", f"{metric} on dev", height=420)
    curves = reports.dropna(subset=["epoch"])
    drawn = "lines+markers" if curves["number"].nunique() <= _MANY_TRIALS else "lines"
    special = curves["is_default"] | (curves["number"] == winner)
    for status, group in curves[~special].groupby("status", sort=False):
        colour = STATUS_COLOURS[str(status)]
        name = str(status).replace("_", " ")
        figure.add_scatter(
            **_join(group, metric), name=name, mode=drawn, line={"color": colour, "width": 1}, opacity=0.6
        )
    for group, name, line in (
        (curves[curves["number"] == winner], f"best: trial {winner}", {"color": GREEN, "width": 3}),
        (curves[curves["is_default"]], "default", {"color": ORANGE, "width": 3, "dash": "dash"}),
    ):
        if len(group):
            figure.add_scatter(**_join(group, metric), name=name, mode="lines+markers", line=line)
    ends = curves[curves["status"] == "diverged"].dropna(subset=[metric]).groupby("number").tail(1)
    if len(ends):
        marker = {"symbol": "x", "size": 10, "color": RED}
        figure.add_scatter(x=ends["epoch"], y=ends[metric], mode="markers", name="diverged after this", marker=marker)
    for rung in rungs:
        figure.add_vline(x=rung, line={"dash": "dot", "color": GREY}, annotation_text=f"rung {rungs.index(rung) + 1}")
    figure.update_xaxes(dtick=1 if curves["epoch"].max() <= 12 else None)
    _limit(figure, curves[metric], mode)
    return figure


def plot_best_so_far(trials: pd.DataFrame, metric: str, mode: str, expected: Sequence[float] | np.ndarray = ()) -> Any:
    """Draw the best completed result after so many trials, beside what random search is expected to have by then.

    Args:
        trials: What `load_trials` gives.
        metric: A column of `trials`.
        mode: `min` or `max`.
        expected: What random search is expected to have after 1, 2, ... trials; empty: not known.
    """
    figure = new_figure("trials", f"{metric} on dev")
    done = _find_completed(trials, metric)
    text = [
        f"trial {number}: {format_value(value)}" for number, value in zip(done["number"], done[metric], strict=True)
    ]
    marker = {"color": GREY, "size": 6}
    figure.add_scatter(
        x=done["number"] + 1,
        y=done[metric],
        mode="markers",
        name="completed",
        marker=marker,
        text=text,
        hoverinfo="text",
    )
    line = {"shape": "hv", "color": BLUE, "width": 3}
    figure.add_scatter(**_follow_best(trials, metric, mode), mode="lines", name="best so far", line=line)
    if len(expected):
        counts = np.arange(1, len(expected) + 1)
        line = {"color": ORANGE, "width": 2, "dash": "dash"}
        figure.add_scatter(x=counts, y=list(expected), mode="lines", name="random search, expected", line=line)
    _limit(figure, done[metric], mode)
    return figure


def plot_progress(runs: Mapping[str, pd.DataFrame], metric: str = "wer", mode: str = "min") -> Any:
    """Draw the best completed result after so many trials, a line a run.

    Args:
        runs: By name, what `load_trials` gives.
        metric: A column of theirs.
        mode: `min` or `max`.
    """
    figure = new_figure("trials", f"{metric} on dev")
    for (name, trials), colour in zip(runs.items(), itertools.cycle(COLOURS)):
        line = {"shape": "hv", "color": colour, "width": 3}
        figure.add_scatter(**_follow_best(trials, metric, mode), mode="lines", name=escape(shorten(name)), line=line)
    return figure


def _find_completed(trials: pd.DataFrame, metric: str) -> pd.DataFrame:
    done: pd.DataFrame = trials[(trials["status"] == "completed") & np.isfinite(trials[metric].to_numpy(float))]
    return done.sort_values("number")


def _follow_best(trials: pd.DataFrame, metric: str, mode: str) -> dict[str, Any]:
    """The best so far at each completed trial, and at the last trial of all."""
    done = _find_completed(trials, metric)
    best = done[metric].cummin() if mode == "min" else done[metric].cummax()
    places = [*(done["number"] + 1), *([int(trials["number"].max()) + 1] if len(done) else [])]
    return {"x": places, "y": [*best, *best.tail(1)]}


def _join(group: pd.DataFrame, metric: str) -> dict[str, Any]:
    """Curves of many trials as one line with gaps: a thousand lines of their own take seconds to draw."""
    x, y, text = [], [], []
    for number, curve in itertools.groupby(
        zip(group["number"], group["epoch"], group[metric], strict=True), key=lambda row: row[0]
    ):
        for _number, epoch, value in curve:
            x.append(epoch)
            y.append(value if math.isfinite(value) else None)
            text.append(f"trial {number}, epoch {epoch:g}: {escape(format_value(value))}")
        x.append(None)
        y.append(None)
        text.append("")
    return {"x": x, "y": y, "text": text, "hoverinfo": "text", "connectgaps": False}


def _limit(figure: Any, values: pd.Series, mode: str) -> None:
    """Cut the axis above what a few wild values reach, unless these are the best ones."""
    if mode == "max":
        return
    finite = values[np.isfinite(values.to_numpy(float))]
    if len(finite) and finite.min() >= 0 and finite.max() > _HIGHEST * finite.median() > 0:
        figure.update_yaxes(range=[0, _HIGHEST * finite.median()])
