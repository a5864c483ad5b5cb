"""Propose configurations to Ray Tune: the default first, then what the sampler chooses."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

from ray.tune.search import Searcher

from stt_tune.sweep.config import SweepConfig
from stt_tune.sweep.samplers import Configuration, Observation, Sampler


class SweepSearcher(Searcher):
    """The one search path of random, Bayesian and grid sweeps: only the sampler differs.

    Attributes:
        numbers: The number in the sweep, from 0, of every trial proposed so far, by Ray's id.
        was_finished: Whether it was told to propose nothing more.
    """

    def __init__(
        self,
        sweep: SweepConfig,
        sampler: Sampler,
        numbers: Iterable[int],
        *,
        known: Iterable[Observation],
        default: Configuration | None,
        complete: Callable[[Configuration], Configuration],
    ) -> None:
        """Plan the trials.

        Args:
            sweep: What is searched.
            sampler: Chooses configurations.
            numbers: Which trials to propose, in this order.
            known: Trials of an earlier start of the same sweep.
            default: The configuration of trial 0; chosen like the others where it is None.
            complete: Fills in what the sweep leaves out.
        """
        super().__init__(metric=sweep.metric.name, mode=sweep.metric.mode)
        self.numbers: dict[str, int] = {}
        self.was_finished = False
        self._sampler = sampler
        self._pending = list(numbers)
        self._known = {each.number: each for each in known}
        self._default = default
        self._complete = complete

    def is_default(self, trial_id: str) -> bool:
        """Whether that trial trains the default configuration."""
        return self._default is not None and self.numbers.get(trial_id) == 0

    def finish(self) -> None:
        """Propose nothing more; trials that run go on."""
        self._pending.clear()
        self.was_finished = True

    def suggest(self, trial_id: str) -> dict[str, Any]:
        """Give the next planned configuration, or say that there is none."""
        configuration = self._next()
        if configuration is None:
            return cast("dict[str, Any]", Searcher.FINISHED)  # ray's sentinel is a string
        number = self.numbers[trial_id] = self._pending.pop(0)
        self._known[number] = Observation(number, configuration, None)
        return configuration

    def _next(self) -> dict[str, Any] | None:
        if not self._pending:
            return None
        number = self._pending[0]
        if self._default is not None and number == 0:
            return dict(self._default)
        chosen = self._sampler.propose(number, list(self._known.values()))
        return None if chosen is None else dict(self._complete(chosen))

    def on_trial_complete(self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False) -> None:
        """Learn how the trial ended."""
        number = self.numbers[trial_id]
        value = float((result or {}).get(self.metric, math.nan))
        self._known[number] = Observation(number, self._known[number].configuration, math.nan if error else value)

    def save(self, checkpoint_path: str) -> None:
        """Nothing is saved: a sweep resumes from its trial table."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing was saved."""
