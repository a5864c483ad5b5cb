"""`to_ray()`: what Ray's own samplers and Optuna draw from it is what W&B would draw."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from ray import tune
from ray.tune.search.optuna import OptunaSearch
from ray.tune.search.sample import Categorical, Float, Integer
from ray.tune.search.variant_generator import generate_variants
from scipy import stats

from stt_tune.sweep.config import SweepConfig
from stt_tune.sweep.ray_space import QuantileDomain
from tests.sweep.specs import EVERY

_DRAWS = 2000
_ALPHA = 1e-4  # 3 samplers x 18 distributions: a false alarm in one of 200 seeds, and the seeds are fixed


@pytest.fixture(scope="module")
def sweep() -> SweepConfig:
    nested = {"inner": {"parameters": {"beta": EVERY["beta"], "layers": {"min": 1, "max": 3}}}}
    return SweepConfig.from_dict({"method": "random", "metric": {"name": "loss"}, "parameters": {**EVERY, **nested}})


def _by_ray(sweep: SweepConfig) -> Iterator[dict[str, Any]]:
    state = np.random.RandomState(0)
    for _ in range(_DRAWS):
        yield from (spec["config"] for _, spec in generate_variants({"config": sweep.to_ray()}, random_state=state))


def _by_optuna(sweep: SweepConfig) -> Iterator[dict[str, Any]]:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    search = OptunaSearch(metric="loss", mode="min", sampler=optuna.samplers.RandomSampler(seed=0))
    assert search.set_search_properties("loss", "min", sweep.to_ray())
    for i in range(_DRAWS):
        drawn = search.suggest(str(i))
        yield {**drawn, "constant": 3}


def _by_sample(sweep: SweepConfig) -> Iterator[dict[str, Any]]:
    rng = np.random.default_rng(0)
    return (sweep.sample(rng) for _ in range(_DRAWS))


@pytest.mark.parametrize("draw", [_by_ray, _by_optuna, _by_sample])
def test_draws_follow_the_ppf_of_every_distribution(
    sweep: SweepConfig, draw: Callable[[SweepConfig], Iterator[dict[str, Any]]]
) -> None:
    drawn = [sweep.flatten(each) for each in draw(sweep)]
    for name, parameter in sweep.parameters.items():
        values = [each[name] for each in drawn]
        expected = Counter(parameter.ppf((i + 0.5) / 20000) for i in range(20000))
        assert {type(value) for value in values} == {type(value) for value in expected}, name
        if len(expected) == 1:
            assert set(values) == set(expected)
        elif len(expected) < 1000:
            assert _chi_square(Counter(values), expected) > _ALPHA, name
        else:
            assert stats.kstest([parameter.cdf(value) for value in values], "uniform").pvalue > _ALPHA, name


def _chi_square(found: Counter[Any], expected: Counter[Any]) -> float:
    """How well counts agree, what is rare taken together."""
    share = found.total() / expected.total()
    common = [value for value in expected if expected[value] * share >= 5]
    observed = [found[value] for value in common]
    wanted = [expected[value] * share for value in common]
    rest = found.total() - sum(wanted)
    if rest > 1e-6:
        observed, wanted = [*observed, found.total() - sum(observed)], [*wanted, rest]
    assert sum(observed) == found.total(), "a value was drawn that the distribution does not have"
    return float(stats.chisquare(observed, wanted).pvalue)


def test_domains_are_rays_own_where_ray_has_the_same_distribution(sweep: SweepConfig) -> None:
    space = sweep.to_ray()
    assert space["constant"] == 3
    assert isinstance(space["categorical"], Categorical)
    assert isinstance(space["int_uniform"], Integer)
    native = {"uniform", "log_uniform", "log_uniform_values", "inv_log_uniform", "inv_log_uniform_values"}
    assert {name for name, domain in space.items() if isinstance(domain, Float)} == native
    assert isinstance(space["inner"]["beta"], QuantileDomain)
    assert {name for name, each in space.items() if isinstance(each, QuantileDomain)} == {
        "categorical_w_probabilities", "normal", "log_normal", "beta", *(name for name in EVERY if name[:2] == "q_")
    }  # fmt: skip


def test_a_domain_knows_its_values(sweep: SweepConfig) -> None:
    space = sweep.to_ray()
    assert space["q_uniform"].is_valid(25)
    assert not space["q_uniform"].is_valid(26)
    assert not space["categorical_w_probabilities"].is_valid(3)
    assert "Beta" in space["beta"].domain_str


@pytest.mark.parametrize(
    "make_sampler",
    [
        lambda: optuna.samplers.TPESampler(seed=0, multivariate=True, n_startup_trials=3),
        lambda: optuna.samplers.GPSampler(seed=0, n_startup_trials=3),
    ],
    ids=["tpe", "gp"],
)
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_optunas_model_based_samplers_search_it(sweep: SweepConfig, make_sampler: Callable[[], Any]) -> None:
    search = OptunaSearch(space=sweep.to_ray(), metric="loss", mode="min", sampler=make_sampler())
    for i in range(6):
        drawn = sweep.flatten({**search.suggest(str(i)), "constant": 3})
        assert set(drawn) == set(sweep.parameters)
        for name, value in drawn.items():
            parameter = sweep.parameters[name]
            assert parameter.ppf(parameter.quantile(value)) == pytest.approx(value)
        search.on_trial_complete(str(i), {"loss": float(i), "training_iteration": 1})


def test_points_to_evaluate_are_values_not_quantiles(sweep: SweepConfig) -> None:
    point = {name: parameter.ppf(0.3) for name, parameter in sweep.parameters.items() if name != "constant"}
    points = [{name.replace(".", "/"): value for name, value in point.items()}]
    search = OptunaSearch(metric="loss", mode="min", points_to_evaluate=points, seed=0)
    search.set_search_properties("loss", "min", sweep.to_ray())
    first = sweep.flatten(search.suggest("a"))
    assert first == {name: pytest.approx(value) for name, value in point.items()}
    assert sweep.flatten(search.suggest("b")) != first


def test_a_grid_is_a_grid_in_ray_too() -> None:
    sweep = SweepConfig.from_dict(
        {
            "method": "grid",
            "parameters": {
                "b": {"values": [8, None]},
                "a": {"parameters": {"q": {"distribution": "q_uniform", "min": 0, "max": 1, "q": 0.5}}},
                "k": {"value": [1, 2]},
            },
        }
    )
    points = [point["config"] for _, point in generate_variants({"config": sweep.to_ray()})]
    assert len(points) == len(sweep.grid()) == 6
    assert all(point in points for point in sweep.grid())


@pytest.mark.parametrize("search", ["ray", "optuna"])
def test_a_plain_tuner_takes_it(ray_session: None, sweep: SweepConfig, search: str, tmp_path: Path) -> None:
    def train(config: dict[str, Any]) -> None:
        tune.report({"loss": float(config["q_uniform"]), "layers": config["inner"]["layers"]})

    algorithm = OptunaSearch(seed=0) if search == "optuna" else None
    results = tune.Tuner(
        train,
        param_space=sweep.to_ray(),
        tune_config=tune.TuneConfig(metric="loss", mode="min", num_samples=3, search_alg=algorithm),
        run_config=tune.RunConfig(storage_path=str(tmp_path), verbose=0),
    ).fit()
    assert not results.errors
    for result in results:
        assert result.metrics["loss"] == result.config["q_uniform"] in range(0, 501, 25)
        assert result.metrics["layers"] in (1, 2, 3)
        assert result.config["constant"] == 3
