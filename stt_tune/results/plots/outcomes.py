"""What trials came to: error rates with intervals, where they ended, what they cost."""

from __future__ import annotations

from typing import Any

import pandas as pd

from stt_tune.results.plots.theme import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    STATUS_COLOURS,
    escape,
    format_value,
    name_ticks,
    new_figure,
)

DEV, HELD_OUT = "dev", "held-out speech"  # what systems are measured on
_ROW = 46  # pixels a system


def plot_rates(rates: pd.DataFrame, metric: str = "wer") -> Any:
    """Draw error rates of systems with their intervals, one line a system.

    Args:
        rates: Columns `system`, `measured_on`, `value`, and `low` and `high` or NaN.
        metric: What the values are.
    """
    figure = new_figure(metric, "", height=110 + _ROW * rates["system"].nunique())
    styles = {HELD_OUT: (BLUE, "circle"), DEV: (ORANGE, "diamond-open")}
    for where, group in rates.groupby("measured_on", sort=False):
        colour, symbol = styles.get(str(where), (GREY, "square"))
        figure.add_scatter(
            x=group["value"],
            y=[escape(each) for each in group["system"]],
            error_x={
                "type": "data",
                "array": (group["high"] - group["value"]).fillna(0),
                "arrayminus": (group["value"] - group["low"]).fillna(0),
                "thickness": 2,
            },
            mode="markers",
            orientation="h",
            offsetgroup=str(where),
            marker={"color": colour, "symbol": symbol, "size": 11},
            name=str(where),
            hovertemplate="%{y}: %{x:.4f}<extra></extra>",
        )
    figure.update_layout(scattermode="group")
    figure.update_xaxes(rangemode="tozero")
    figure.update_yaxes(autorange="reversed", **name_ticks(rates["system"].unique()))
    return figure


def plot_endings(endings: pd.DataFrame) -> Any:
    """Draw how many trials ended where, stacked by status.

    Args:
        endings: Columns `where` (in order), `status` and `trials`.
    """
    figure = new_figure("", "trials", height=320)
    for status, group in endings.groupby("status", sort=False):
        name = str(status).replace("_", " ")
        figure.add_bar(x=group["where"], y=group["trials"], name=name, marker={"color": STATUS_COLOURS[str(status)]})
    figure.update_layout(barmode="stack")
    figure.update_xaxes(type="category", categoryorder="array", categoryarray=list(endings["where"].unique()))
    return figure


def plot_cost(costs: pd.DataFrame, metric: str = "wer", unit: str = "s") -> Any:
    """Draw training time against the metric, with the front that no trial beats in both.

    Args:
        costs: Columns `number`, `time`, `value`, `is_default`, `is_on_front`; completed trials.
        metric: What the values are.
        unit: Of the time.
    """
    figure = new_figure(f"time to train ({unit})", f"{metric} on dev")
    front = costs[costs["is_on_front"]].sort_values("time")
    line = {"shape": "hv", "color": GREEN, "width": 2}
    figure.add_scatter(x=front["time"], y=front["value"], mode="lines", name="Pareto front", line=line)
    rest = costs[~costs["is_default"]]
    for group, name, colour, symbol, size in (
        (rest[~rest["is_on_front"]], "completed", GREY, "circle", 7),
        (rest[rest["is_on_front"]], "on the front", GREEN, "circle", 11),
        (costs[costs["is_default"]], "default", ORANGE, "star", 14),
    ):
        text = [
            f"trial {number}: {format_value(value)} in {format_value(time)} {unit}"
            for number, value, time in zip(group["number"], group["value"], group["time"], strict=True)
        ]
        marker = {"color": colour, "symbol": symbol, "size": size}
        figure.add_scatter(
            x=group["time"], y=group["value"], mode="markers", name=name, marker=marker, text=text, hoverinfo="text"
        )
    return figure
