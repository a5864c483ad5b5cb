"""What a search knows of a trial."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Configuration = Mapping[str, Any]


@dataclass(frozen=True)
class Observation:
    """One trial, as far as it has come.

    Attributes:
        number: Its place in the sweep, from 0.
        configuration: What it trains; nested as the sweep is.
        value: The metric as it was last reported; NaN where training failed or diverged; None while
            it runs.
        curve: The metric after each report, in order; empty where no more than `value` is known.
        share: How much of its training it has done, from 0 to 1; below 1 where it was stopped early.
    """

    number: int
    configuration: Configuration
    value: float | None
    curve: tuple[float, ...] = ()
    share: float = 1.0

    @property
    def is_finite(self) -> bool:
        """Whether it has given a number."""
        return self.value is not None and math.isfinite(self.value)

    @property
    def values(self) -> tuple[float, ...]:
        """All that is known of the metric, in order; what was no number on the way is left out."""
        finite = tuple(each for each in self.curve if math.isfinite(each))
        return finite or (() if self.value is None else (self.value,))


def extrapolate(curve: Sequence[float], share: float, whole: Sequence[Sequence[float]]) -> float:
    """Reckon where a trial would have ended: as far from here as others went from the same share of their runs.

    Args:
        curve: The metric after each of its reports.
        share: How much of its run it has done.
        whole: Curves of trials that ran to their ends.

    >>> round(extrapolate([0.7, 0.5], 0.5, [[0.6, 0.4, 0.3, 0.2]]), 2)
    0.3
    """
    if share >= 1 or not whole:
        return curve[-1]
    return curve[-1] + statistics.median(each[-1] - each[report_at(share, len(each)) - 1] for each in whole)


def report_at(share: float, reports: int) -> int:
    """The number, from 1, of the report that comes nearest to a share of a run of so many.

    >>> report_at(0.25, 12), report_at(0.25, 5), report_at(0.01, 5)
    (3, 1, 1)
    """
    return min(max(int(share * reports + 0.5), 1), reports)
