"""Asynchronous successive halving, on shares of each trial's own run."""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence

from stt_tune.sweep.rungs import epoch_of


class Asha:
    """Stops trials that are not among the best one in `eta` at a rung.

    A rung is a number of epochs of the longest run that the sweep can have. A shorter run meets it
    after the same share of its own epochs, because the learning rate of a run of 3 epochs has fallen
    as far after 1 as that of a run of 12 after 4. Where runs have no known length, rungs are epochs.

    A trial is compared by the best value that it has reported so far, with all that have passed the
    rung before it, and only if these are at least `eta`. Of equals the earlier one is better.
    Nothing else counts, so the same reports in the same order give the same decisions.

    Source: Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning": rungs, eta. There
    a trial is compared from the first peer on.
    """

    def __init__(self, bands: Sequence[int], eta: float, mode: str, longest: int | None) -> None:
        """Set up the rungs.

        Args:
            bands: The rungs in epochs, ascending.
            eta: One in `eta` goes on.
            mode: `min` or `max`.
            longest: Epochs of the longest run; None where that is not known.
        """
        self._bands = sorted(set(bands))
        self._eta = eta
        self._sign = 1 if mode == "min" else -1
        self._longest = longest
        self._best: dict[str, float] = {}
        self._passed: dict[str, int] = {}
        self._rungs: list[list[float]] = [[] for _band in self._bands]

    def stops(self, trial_id: str, epoch: int, planned: int | None, value: float) -> bool:
        """Take note of a report, and say whether the trial is to stop.

        Args:
            trial_id: Whose report it is.
            epoch: Which one, from 1.
            planned: Epochs of its whole run, where that is known.
            value: The metric.
        """
        loss = self._sign * value if math.isfinite(value) else math.inf
        best = self._best[trial_id] = min(loss, self._best.get(trial_id, math.inf))
        is_weak = False
        for i in range(self._passed.get(trial_id, 0), len(self._bands)):
            if epoch < epoch_of(self._bands[i], planned, self._longest):
                break
            self._passed[trial_id] = i + 1
            is_weak = is_weak or self._is_weak(best, self._rungs[i])
            bisect.insort(self._rungs[i], best)
        return is_weak

    def _is_weak(self, loss: float, peers: Sequence[float]) -> bool:
        if len(peers) < self._eta:
            return False
        better = bisect.bisect_right(peers, loss)
        return better >= math.ceil((len(peers) + 1) / self._eta)
