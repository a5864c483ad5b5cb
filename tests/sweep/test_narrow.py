"""A sweep narrowed around its best trials."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stt_tune.errors import SettingsError
from stt_tune.sweep.config import SweepConfig
from stt_tune.sweep.distributions import Categorical, Constant, IntUniform, LogUniform, Uniform
from stt_tune.sweep.narrow import narrow_sweep
from stt_tune.sweep.samplers import build_sampler
from tests.sweep.specs import EVERY

_SPACE: dict[str, Any] = {
    "rate": {"distribution": "log_uniform_values", "min": 1e-6, "max": 1e-2},
    "batch": {"values": [32, 4, 8, 16, 64]},
    "schedule": {"values": ["linear", "cosine", "constant"]},
    "epochs": {"min": 1, "max": 20},
    "dropout": {"min": 0.0, "max": 0.5},
    "seed": {"value": 3},
    "inner": {"parameters": {"layers": {"min": 0, "max": 9}}},
}
_BEST = [
    {"rate": 1e-4, "batch": 8, "schedule": "cosine", "epochs": 9, "dropout": 0.02, "seed": 3, "inner": {"layers": 9}},
    {"rate": 1e-3, "batch": 8, "schedule": "cosine", "epochs": 11, "dropout": 0.1, "seed": 3, "inner": {"layers": 8}},
]


def _sweep(parameters: dict[str, Any] | None = None) -> SweepConfig:
    return SweepConfig.from_dict(
        {"name": "wide", "method": "random", "run_cap": 20, "parameters": parameters or _SPACE}
    )


def test_each_parameter_keeps_the_range_of_the_best_and_a_tenth_of_its_own_to_either_side() -> None:
    narrowed = narrow_sweep(_sweep(), _BEST)
    found = narrowed.parameters
    assert isinstance(found["rate"], LogUniform)
    assert (found["rate"].min, found["rate"].max) == pytest.approx((10**-4.4, 10**-2.6))
    assert found["batch"] == Categorical((4, 8, 16))
    assert found["schedule"] == Constant("cosine")
    assert found["epochs"] == IntUniform(7, 13)
    assert isinstance(found["dropout"], Uniform)
    assert (found["dropout"].min, found["dropout"].max) == pytest.approx((0.0, 0.15))
    assert found["seed"] == Constant(3)
    assert found["inner.layers"] == IntUniform(7, 9)
    assert (narrowed.name, narrowed.method, narrowed.run_cap) == ("wide-refined", "bayes", None)
    assert narrowed.frame is not None
    assert narrowed.frame.parameters == _sweep().parameters
    assert SweepConfig.from_dict(narrowed.to_dict()).parameters == found


def test_the_target_of_the_sweep_does_not_end_the_narrowed_one_which_begins_with_its_trials() -> None:
    metric = {"name": "wer", "goal": "minimize", "impute": "worst"}
    sweep = SweepConfig.from_dict({**_sweep().to_dict(), "metric": {**metric, "target": 0.2}})
    narrowed = narrow_sweep(sweep, _BEST)
    assert narrowed.metric.target is None
    assert narrowed.to_dict()["metric"] == metric
    assert narrow_sweep(sweep, []).metric.target is None
    assert sweep.metric.target == 0.2


def test_bounds_may_be_left_where_that_is_asked_for_and_allowed() -> None:
    narrowed = narrow_sweep(
        _sweep(), _BEST, expand=True, allows=lambda name, value: name != "dropout" or 0 <= value < 1
    )
    assert narrowed.parameters["inner.layers"] == IntUniform(7, 10)
    assert narrowed.parameters["dropout"].extremes()[0] == 0.0
    assert narrowed.frame is not None
    assert narrowed.frame.parameters["inner.layers"] == IntUniform(0, 10)
    assert narrowed.frame.parameters["rate"] == _sweep().parameters["rate"]


def test_a_choice_that_may_be_left_takes_in_what_the_best_have() -> None:
    best = [{**_BEST[0], "batch": 2, "schedule": "polynomial"}]
    assert narrow_sweep(_sweep(), best).parameters["batch"] == Constant(4)
    narrowed = narrow_sweep(_sweep(), best, expand=True)
    assert narrowed.parameters["batch"] == Categorical((2, 4))
    assert narrowed.parameters["schedule"] == Constant("polynomial")
    assert narrowed.frame is not None
    assert narrowed.frame.parameters["batch"].grid() == [32, 4, 8, 16, 64, 2]
    point = build_sampler(narrowed, 0).propose(0, ())
    assert point["batch"] in (2, 4)


def test_whole_numbers_keep_a_neighbour_to_either_side() -> None:
    sweep = _sweep({"epochs": {"min": 1, "max": 4}})
    assert narrow_sweep(sweep, [{"epochs": 2}]).parameters["epochs"] == IntUniform(1, 3)
    assert narrow_sweep(sweep, [{"epochs": 1}]).parameters["epochs"] == IntUniform(1, 2)


def test_without_configurations_everything_stays_and_only_the_method_changes() -> None:
    narrowed = narrow_sweep(_sweep(), [])
    assert narrowed.parameters == _sweep().parameters
    assert (narrowed.method, narrowed.run_cap) == ("bayes", None)


@pytest.mark.parametrize(
    "parameters",
    [
        {"schedule": {"values": ["linear", "cosine"]}, "freeze": {"values": ["none", "encoder"]}},
        {"schedule": {"value": "cosine"}, "x": {"distribution": "q_uniform", "min": 0, "max": 4, "q": 2}},
    ],
)
def test_where_the_best_agree_in_all_that_varies_nothing_is_left_to_search(parameters: dict[str, Any]) -> None:
    sweep = _sweep(parameters)
    best = {"schedule": "cosine", **({"freeze": "none"} if "freeze" in parameters else {"x": 2})}
    told = "freeze='none'" if "freeze" in parameters else "x=2"
    with pytest.raises(SettingsError, match=rf"agree in all that varies \(.*{told}\)\. Go on in the whole space"):
        narrow_sweep(sweep, [best] * 3)
    assert narrow_sweep(sweep, []).parameters == sweep.parameters
    other = {**best, "freeze": "encoder"} if "freeze" in parameters else {**best, "x": 4}
    assert narrow_sweep(sweep, [best, other]).parameters["schedule"] == Constant("cosine")


def test_a_narrowed_sweep_is_narrowed_within_the_first_one() -> None:
    again = narrow_sweep(narrow_sweep(_sweep(), _BEST), [{**_BEST[0], "epochs": 18}])
    assert again.parameters["epochs"] == IntUniform(16, 20)
    assert again.frame is not None
    assert again.frame.parameters["epochs"] == IntUniform(1, 20)


def test_every_distribution_is_narrowed_within_its_bounds_and_holds_the_best() -> None:
    sweep = _sweep(EVERY)
    for seed in range(20):
        best = [sweep.sample(np.random.default_rng([seed, i])) for i in range(3)]
        narrowed = narrow_sweep(sweep, best)
        proposed = build_sampler(narrowed, seed).propose(0, ())
        assert proposed is not None
        for name, value in sweep.flatten(proposed).items():
            low, high = (sweep.parameters[name].quantile(each) for each in (value, value))
            assert 0 <= low <= high <= 1
        for name, parameter in narrowed.parameters.items():
            kept = parameter.grid()
            if isinstance(parameter, Categorical | Constant):
                assert best[0][name] in kept
                continue
            least, most = min(parameter.extremes()), max(parameter.extremes())
            slack = 1e-9 + EVERY[name].get("q", 0) / 2
            if 0.001 < sweep.parameters[name].quantile(best[0][name]) < 0.999:
                assert least - slack <= best[0][name] <= most + slack, name
