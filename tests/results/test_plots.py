"""Pictures: what they draw is true, and the best is seen."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd
import pytest

from stt_tune.results.plots import (
    plot_best_so_far,
    plot_learning_curves,
    plot_parallel_coordinates,
    plot_parameter,
)


def _frame(
    values: Sequence[float], statuses: Sequence[str] | None = None, **settings: Sequence[object]
) -> pd.DataFrame:
    count = len(values)
    fixed = {"number": range(count), "is_default": [False] * count, "epoch": [1] * count, "wer": values}
    columns = {f"config.{name}": each for name, each in settings.items()}
    return pd.DataFrame({**fixed, "status": statuses or ["completed"] * count, **columns})


@pytest.mark.parametrize(("mode", "is_cut"), [("max", False), ("min", True)])
def test_the_axis_is_cut_only_where_the_best_are_not(mode: str, *, is_cut: bool) -> None:
    frame = _frame([0.1, 0.1, 0.12, 0.11, 0.9])
    for figure in (plot_learning_curves(frame, mode=mode), plot_best_so_far(frame, "wer", mode)):
        assert (figure.layout.yaxis.range is not None) == is_cut


@pytest.mark.parametrize(
    ("values", "mode", "drawn", "last"),
    [
        ([0.2, 0.205, 0.198, 0.202, 0.207, 0.03, 0.199, 0.201], "min", None, "0.207"),  # the best is far off
        ([0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.03, 0.2, 0.21], "min", None, "0.21"),  # most are the same
        ([0.1, 0.2, 0.3, 0.4, 9.0], "min", [0.1, 0.2, 0.3, 0.4, 1.0], "≥ 1"),
        ([0.2, 0.25, 0.3, 0.35, 1.9], "max", None, "1.9"),
    ],
)
def test_lines_end_at_their_results_or_are_said_to_belong_beyond(
    values: list[float], mode: str, drawn: list[float] | None, last: str
) -> None:
    figure = plot_parallel_coordinates(_frame(values, depth=range(len(values))), ["depth"], "wer", mode)
    axis = figure.data[0].dimensions[-1]
    assert list(axis["values"]) == pytest.approx(drawn or values)
    assert axis.ticktext[-1] == last


def test_lines_below_an_axis_are_said_to_belong_there() -> None:
    figure = plot_parallel_coordinates(_frame([0.9, 0.8, 0.85, 0.87, -5.0], depth=range(5)), ["depth"], "wer", "max")
    axis = figure.data[0].dimensions[-1]
    assert min(axis["values"]) == pytest.approx(0.59)
    assert axis.ticktext[0] == "≤ 0.59"


def test_a_trial_that_diverged_is_drawn_with_no_result_of_its_own() -> None:
    statuses = ["completed", "completed", "diverged"]
    figure = plot_parameter(_frame([0.3, 0.2, math.nan], statuses, learning_rate=[0.1, 0.2, 0.4]))
    points = figure.data[0]
    assert list(points.y) == [0.3, 0.2, 0.3]
    assert points.text[-1] == "trial 2 (diverged): 0.4, no result"
