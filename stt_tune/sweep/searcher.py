"""Propose configurations to Ray Tune: the default first, then what the sampler chooses."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

from ray.tune.experiment import Trial
from ray.tune.search import ConcurrencyLimiter, Searcher
from ray.tune.search.search_generator import SearchGenerator

from stt_tune.sweep.config import SweepConfig
from stt_tune.sweep.observation import Configuration, Observation
from stt_tune.sweep.samplers import Sampler


class SweepSearcher(Searcher):
    """The one search path of random, Bayesian and grid sweeps: only the sampler differs.

    Attributes:
        numbers: The number in the sweep, from 0, of every trial proposed so far, by Ray's id.
        is_exhausted: Whether the sampler had no more to propose.
    """

    def __init__(
        self,
        sweep: SweepConfig,
        sampler: Sampler,
        planned: Mapping[int, Configuration | None],
        *,
        observe: Callable[[], Iterable[Observation]],
        default: Configuration | None,
        complete: Callable[[Configuration], Configuration],
        ids: Mapping[int, str] | None = None,
    ) -> None:
        """Plan the trials.

        Args:
            sweep: What is searched.
            sampler: Chooses configurations.
            planned: The numbers of the trials to propose, in this order, each with its configuration
                where that is known: an interrupted trial is trained again as it was.
            observe: What is known of trials that have begun, whenever it is asked.
            default: The configuration of trial 0; chosen like the others where it is None.
            complete: Fills in what the sweep leaves out.
            ids: Of the planned trials that go on, by their numbers.
        """
        super().__init__(metric=sweep.metric.name, mode=sweep.metric.mode)
        self.numbers: dict[str, int] = {}
        self.is_exhausted = False
        self._sampler = sampler
        self._planned = dict(planned)
        self._ids = dict(ids or {})
        self._proposed: dict[int, Configuration] = {}
        self._observe = observe
        self._default = default
        self._complete = complete

    def is_default(self, trial_id: str) -> bool:
        """Whether that trial trains the default configuration."""
        return self._default is not None and self.numbers.get(trial_id) == 0

    def name_trial(self, trial_id: str) -> str:
        """Call a trial by its number."""
        return f"trial-{self.numbers[trial_id]:03d}{'-default' if self.is_default(trial_id) else ''}"

    def finish(self) -> None:
        """Propose nothing more; trials that run go on."""
        self._planned.clear()

    @property
    def next_id(self) -> str | None:
        """The id of the next trial, where it is one that goes on."""
        return self._ids.get(next(iter(self._planned), -1))

    def suggest(self, trial_id: str) -> dict[str, Any]:
        """Give the next planned configuration, or say that there is none."""
        number = next(iter(self._planned), None)
        configuration = None if number is None else self._choose(number)
        if number is None or configuration is None:
            return cast("dict[str, Any]", Searcher.FINISHED)  # ray's sentinel is a string
        del self._planned[number]
        self.numbers[trial_id] = number
        self._proposed[number] = configuration
        return configuration

    def _choose(self, number: int) -> dict[str, Any] | None:
        known = self._planned[number]
        if known is not None:
            return dict(known)
        if self._default is not None and number == 0:
            return dict(self._default)
        chosen = self._sampler.propose(number, _Lazy(self._find_known))
        self.is_exhausted = chosen is None
        return None if chosen is None else dict(self._complete(chosen))

    def _find_known(self) -> list[Observation]:
        # a proposed trial is not seen before it has begun
        begun = {number: Observation(number, each, None) for number, each in self._proposed.items()}
        return list((begun | {each.number: each for each in self._observe()}).values())

    def on_trial_complete(self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False) -> None:
        """What became of trials is asked for when it is needed."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing is saved: a sweep resumes from its trial table."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing was saved."""


class _Lazy(Sequence[Observation]):
    """What is gathered only if somebody looks: with thousands of trials it takes longer than to draw at random."""

    def __init__(self, gather: Callable[[], list[Observation]]) -> None:
        self._gather = gather

    @functools.cached_property
    def _gathered(self) -> list[Observation]:
        return self._gather()

    def __len__(self) -> int:
        return len(self._gathered)

    def __getitem__(self, index: Any) -> Any:
        return self._gathered[index]


class TrialGenerator(SearchGenerator):
    """Makes Ray's trials, and gives one that goes on the id that it had: its reports, files and W&B run go by it."""

    def __init__(self, searcher: SweepSearcher, max_concurrent: int) -> None:
        """Make trials of what `searcher` proposes, so many at a time."""
        super().__init__(ConcurrencyLimiter(searcher, max_concurrent=max_concurrent))
        self._source = searcher

    def create_trial_if_possible(self, experiment_spec: dict[str, Any]) -> Trial | None:
        """Make the next trial, if there is one and room for it.

        It is named here: what Ray has for it, a function, is pickled for each trial, with all that it refers to.
        """
        with _named(self._source.next_id):
            trial: Any = super().create_trial_if_possible(experiment_spec)
        if trial is not None:
            trial.custom_trial_name = self._source.name_trial(trial.trial_id)
            trial.custom_dirname = f"{trial.custom_trial_name}-{trial.trial_id}"
        return cast("Trial | None", trial)


@contextlib.contextmanager
def _named(trial_id: str | None) -> Iterator[None]:
    """Let Ray give the trial that it makes inside the block this id; it would draw one."""
    if trial_id is None:
        yield
        return
    maker: Any = Trial
    before, maker.generate_id = Trial.__dict__["generate_id"], lambda: trial_id
    try:
        yield
    finally:
        maker.generate_id = before
