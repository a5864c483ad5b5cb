"""Propose configurations to Ray Tune: the default first, then the sweep's own draws."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

import numpy as np
from ray.tune.search import Searcher

from stt_tune.sweep.config import SweepConfig

Configuration = Mapping[str, Any]


class RandomSearcher(Searcher):
    """Draws every trial from its own generator, seeded by the sweep's seed and the trial's number.

    So trial 7 of a sweep is the same however many ran at once, and after a resume.

    Attributes:
        numbers: The number in the sweep, from 0, of every trial proposed so far, by Ray's id.
    """

    def __init__(
        self,
        sweep: SweepConfig,
        seed: int,
        numbers: Iterable[int],
        *,
        default: Configuration | None,
        complete: Callable[[Configuration], Configuration],
    ) -> None:
        """Plan the trials.

        Args:
            sweep: Where configurations are drawn from.
            seed: The sweep's.
            numbers: Which trials to propose, in this order.
            default: The configuration of trial 0; drawn like the others where it is None.
            complete: Fills in what the sweep leaves out.
        """
        super().__init__(metric=sweep.metric.name, mode=sweep.metric.mode)
        self.numbers: dict[str, int] = {}
        self._sweep = sweep
        self._seed = seed
        self._pending = list(numbers)
        self._default = default
        self._complete = complete

    def is_default(self, trial_id: str) -> bool:
        """Whether that trial trains the default configuration."""
        return self._default is not None and self.numbers.get(trial_id) == 0

    def suggest(self, trial_id: str) -> dict[str, Any]:
        """Give the next planned configuration, or say that there is none."""
        if not self._pending:
            return cast("dict[str, Any]", Searcher.FINISHED)  # ray's sentinel is a string
        number = self.numbers[trial_id] = self._pending.pop(0)
        if self._default is not None and number == 0:
            return dict(self._default)
        return dict(self._complete(self._sweep.sample(np.random.default_rng([self._seed, number]))))

    def on_trial_complete(self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False) -> None:
        """Random draws learn nothing from results."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing is saved: a sweep resumes from its trial table."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing was saved."""
