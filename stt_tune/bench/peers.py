"""Optuna's samplers, to compare with: as they come, and with the default configuration first, as ours."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import optuna

from stt_tune.sweep.config import SweepConfig
from stt_tune.sweep.distributions import Categorical, IntUniform, LogUniform, Parameter, Uniform
from stt_tune.sweep.observation import Observation
from stt_tune.sweep.samplers import Sampler

PEERS = ("optuna-tpe", "optuna-gp")


class OptunaPeer:
    """One of Optuna's samplers, told of every trial."""

    def __init__(self, sweep: SweepConfig, sampler: optuna.samplers.BaseSampler) -> None:
        """Search `sweep` with `sampler`."""
        self._distributions = {name: _convert(each) for name, each in sweep.parameters.items()}
        self._study = optuna.create_study(sampler=sampler)
        self._asked: dict[int, optuna.trial.Trial] = {}
        self._told: set[int] = set()

    def propose(self, number: int, known: Sequence[Observation]) -> dict[str, Any]:
        """Tell what has ended, and ask for the next."""
        for each in known:
            if each.value is None or each.number in self._told:
                continue
            self._told.add(each.number)
            if each.number in self._asked:
                self._study.tell(self._asked[each.number], each.value)
            else:
                trial = optuna.trial.create_trial(
                    params=dict(each.configuration), distributions=self._distributions, value=each.value
                )
                self._study.add_trial(trial)
        self._asked[number] = self._study.ask(self._distributions)
        return self._asked[number].params


def build_peer(name: str, sweep: SweepConfig, seed: int) -> Sampler:
    """Make the sampler of that name, one of `PEERS`."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if name == "optuna-tpe":
            return OptunaPeer(sweep, optuna.samplers.TPESampler(multivariate=True, seed=seed))
        return OptunaPeer(sweep, optuna.samplers.GPSampler(seed=seed))


def _convert(parameter: Parameter) -> optuna.distributions.BaseDistribution:
    match parameter:
        case Categorical(values, None):
            return optuna.distributions.CategoricalDistribution(values)
        case IntUniform(low, high):
            return optuna.distributions.IntDistribution(low, high)
        case Uniform(low, high):
            return optuna.distributions.FloatDistribution(low, high)
        case LogUniform(low, high):
            return optuna.distributions.FloatDistribution(low, high, log=True)
    raise TypeError(f"no comparison for {parameter!r}")
