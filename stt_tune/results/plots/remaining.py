"""Errors before and after."""

from __future__ import annotations

from typing import Any

import pandas as pd

from stt_tune.results.plots.theme import BLUE, COLOURS, ORANGE, escape, name_ticks, new_figure

_ROW = 40  # pixels


def plot_before_and_after(rates: pd.DataFrame, y: str) -> Any:
    """Draw a rate of each system beside the others', a group of bars for each `group`.

    Args:
        rates: Columns `group`, `system` and `rate`; the systems in the order before, after.
        y: What the rates are.
    """
    groups = list(dict.fromkeys(rates["group"]))
    figure = new_figure(y, "", height=120 + _ROW * len(groups))
    for (system, part), colour in zip(rates.groupby("system", sort=False), (ORANGE, BLUE, *COLOURS[2:]), strict=False):
        figure.add_bar(
            x=part["rate"],
            y=[escape(each) for each in part["group"]],
            orientation="h",
            name=escape(system),
            marker={"color": colour},
            hovertemplate="%{y}: %{x:.4f}<extra></extra>",
        )
    figure.update_layout(barmode="group")
    figure.update_yaxes(autorange="reversed", **name_ticks(groups))
    return figure
