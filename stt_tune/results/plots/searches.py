"""Ways of searching, against each other."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from stt_tune.results.plots.theme import COLOURS, escape, new_figure


def plot_searches(found: Mapping[str, Mapping[str, Any]]) -> Any:
    """Draw how low each way of searching had come after so many trials: medians, with quartiles as bars.

    Args:
        found: By what they are called, what `stt_tune.bench.search.bench_search` gives.
    """
    figure = new_figure("trials", "best WER so far, by the default's")
    for (name, one), colour in zip(found.items(), itertools.cycle(COLOURS)):
        best = one["best_over_default"]
        median, low, high = ([each[key] for each in best.values()] for key in ("median", "q25", "q75"))
        spread = {
            "type": "data",
            "array": [top - middle for top, middle in zip(high, median, strict=True)],
            "arrayminus": [middle - bottom for middle, bottom in zip(median, low, strict=True)],
            "thickness": 1,
        }
        places = [int(after) for after in best]
        line = {"color": colour, "width": 3}
        figure.add_scatter(x=places, y=median, error_y=spread, mode="lines+markers", name=escape(name), line=line)
    return figure
