"""How the next configuration is chosen: at random, by Bayesian optimisation, or along a grid.

A sampler is asked for trial `number` and is given what is known by then; it keeps nothing. So the
same seed and the same results give the same proposals, and a sweep that is resumed goes on as if it
had not stopped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from stt_tune.sweep.bayes import BayesSampler
from stt_tune.sweep.config import SweepConfig
from stt_tune.sweep.observation import Configuration, Observation


class Sampler(Protocol):
    """Chooses configurations."""

    def propose(self, number: int, known: Sequence[Observation]) -> dict[str, Any] | None:
        """The configuration of trial `number`, in view of what is `known`; None: there are no more."""


class RandomSampler:
    """Draws every trial from its own generator, seeded by the sweep's seed and the trial's number.

    So trial 7 of a sweep is the same however many ran at once.
    """

    def __init__(self, sweep: SweepConfig, seed: int) -> None:
        """Draw from `sweep`."""
        self._sweep = sweep
        self._seed = seed

    def propose(self, number: int, known: Sequence[Observation]) -> dict[str, Any]:
        """Draw the configuration of trial `number`."""
        return self._sweep.sample(np.random.default_rng([self._seed, number]))


class GridSampler:
    """Walks the grid in W&B's order."""

    def __init__(self, sweep: SweepConfig) -> None:
        """Walk the grid of `sweep`."""
        self._sweep = sweep

    def propose(self, number: int, known: Sequence[Observation]) -> dict[str, Any] | None:
        """The grid's point `number`."""
        return self._sweep.grid_point(number) if number < self._sweep.grid_size() else None


def build_sampler(
    sweep: SweepConfig, seed: int, default: Configuration | None = None, min_improvement: float | None = None
) -> Sampler:
    """Make the sampler of the sweep's method.

    Args:
        sweep: What is searched.
        seed: Of everything that is drawn.
        default: The configuration of trial 0, around which a Bayesian search begins.
        min_improvement: What a Bayesian search must expect of a trial; see `BayesSampler`.
    """
    if sweep.method == "grid":
        return GridSampler(sweep)
    if sweep.method == "bayes":
        within = sweep if sweep.frame else None
        return BayesSampler(sweep.origin, seed, default=default, within=within, min_improvement=min_improvement)
    return RandomSampler(sweep, seed)
