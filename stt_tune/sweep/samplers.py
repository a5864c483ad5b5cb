"""How the next configuration is chosen: at random, by Bayesian optimisation, or along a grid.

A sampler is asked for trial `number` and is given what is known by then; it keeps nothing. So the
same seed and the same results give the same proposals, and a sweep that is resumed goes on as if it
had not stopped.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from stt_tune.sweep.config import SweepConfig
from stt_tune.sweep.distributions import Categorical, Constant, IntUniform, Parameter

Configuration = Mapping[str, Any]
_RANDOM_TRIALS = 5  # before a model of so few results says more than chance


@dataclass(frozen=True)
class Observation:
    """What is known of a trial.

    Attributes:
        number: Its place in the sweep, from 0.
        configuration: What it trains; nested as the sweep is.
        value: The metric as it was last reported; NaN where training failed or diverged; None while
            it runs.
    """

    number: int
    configuration: Configuration
    value: float | None


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


class BayesSampler:
    """Bayesian optimisation: Optuna's Gaussian process over the unit cube of the distributions.

    The first few trials are random. Trials without a result count as bad as the worst result;
    running ones are known to the model, so that proposals made in parallel differ.

    Source: Snoek et al. 2012, "Practical Bayesian Optimization of Machine Learning Algorithms".
    """

    def __init__(self, sweep: SweepConfig, seed: int) -> None:
        """Search `sweep`."""
        self._sweep = sweep
        self._seed = seed
        self._random = RandomSampler(sweep, seed)
        self._axes = {name: each for name, each in sweep.parameters.items() if not isinstance(each, Constant)}

    def propose(self, number: int, known: Sequence[Observation]) -> dict[str, Any]:
        """The configuration that promises the greatest improvement."""
        finite = [each.value for each in known if each.value is not None and math.isfinite(each.value)]
        if number < _RANDOM_TRIALS or len(finite) < 2:
            return self._random.propose(number, known)
        point = self._suggest(number, sorted(known, key=lambda each: each.number), finite)
        drawn = {name: _value(self._axes[name], coordinate) for name, coordinate in point.items()}
        constant = {name: each.value for name, each in self._sweep.parameters.items() if isinstance(each, Constant)}
        flat = {**drawn, **constant}
        return self._sweep.nest({name: flat[name] for name in self._sweep.parameters})

    def _suggest(self, number: int, known: Sequence[Observation], finite: Sequence[float]) -> dict[str, Any]:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        axes = {name: _axis(each) for name, each in self._axes.items()}
        mode = self._sweep.metric.mode
        worst = max(finite) if mode == "min" else min(finite)
        states = optuna.trial.TrialState
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = optuna.samplers.GPSampler(
                seed=int(np.random.SeedSequence([self._seed, number]).generate_state(1)[0]), n_startup_trials=0
            )
        study = optuna.create_study(sampler=sampler, direction="minimize" if mode == "min" else "maximize")
        for each in known:
            coordinates = self._place(each.configuration)
            if coordinates is None:
                continue
            is_running = each.value is None
            value = each.value if each.value is not None and math.isfinite(each.value) else worst
            study.add_trial(
                optuna.trial.create_trial(
                    state=states.RUNNING if is_running else states.COMPLETE,
                    value=None if is_running else value,
                    params=coordinates,
                    distributions=axes,
                )
            )
        point: dict[str, Any] = study.ask(fixed_distributions=axes).params
        return point

    def _place(self, configuration: Configuration) -> dict[str, Any] | None:
        """Where a configuration lies; None if it has a choice that the sweep does not list."""
        flat = self._sweep.flatten(configuration)
        try:
            return {name: _coordinate(each, flat[name]) for name, each in self._axes.items()}
        except (KeyError, ValueError, TypeError):
            return None  # the default configuration may lie outside


def build_sampler(sweep: SweepConfig, seed: int) -> Sampler:
    """Make the sampler of the sweep's method."""
    if sweep.method == "grid":
        return GridSampler(sweep)
    return BayesSampler(sweep, seed) if sweep.method == "bayes" else RandomSampler(sweep, seed)


def _axis(parameter: Parameter) -> Any:
    """What Optuna searches for a parameter: a choice's place, a whole number, or a quantile."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(parameter, Categorical):
        return CategoricalDistribution([parameter.position(value) for value in parameter.grid()])
    if isinstance(parameter, IntUniform):
        return IntDistribution(parameter.min, parameter.max)
    return FloatDistribution(0.0, 1.0)


def _coordinate(parameter: Parameter, value: Any) -> Any:
    if isinstance(parameter, Categorical):
        return parameter.position(value)
    if isinstance(parameter, IntUniform):
        return min(max(int(value), parameter.min), parameter.max)
    return parameter.quantile(value)


def _value(parameter: Parameter, coordinate: Any) -> Any:
    if isinstance(parameter, Categorical):
        return parameter.values[coordinate]
    if isinstance(parameter, IntUniform):
        return coordinate
    return parameter.ppf(coordinate)
