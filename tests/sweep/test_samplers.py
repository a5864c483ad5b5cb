"""What must hold of every way of choosing configurations, and what is each one's own."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from stt_tune.sweep.config import METHODS, SweepConfig
from stt_tune.sweep.observation import Observation
from stt_tune.sweep.samplers import build_sampler
from tests.sweep.specs import EVERY

_DISCRETE = {
    name: spec for name, spec in EVERY.items() if name in ("constant", "categorical", "categorical_w_probabilities")
} | {"int_uniform": {"min": 1, "max": 3}, "q_uniform": {"distribution": "q_uniform", "min": 0, "max": 4, "q": 2}}
_NESTED = {"inner": {"parameters": {"layers": {"values": [0, False, 2]}}}}


def _sweep(method: str, parameters: dict[str, Any] | None = None, goal: str = "minimize") -> SweepConfig:
    every = _DISCRETE if method == "grid" else EVERY
    return SweepConfig.from_dict(
        {"method": method, "metric": {"name": "wer", "goal": goal}, "parameters": parameters or {**every, **_NESTED}}
    )


def _score(configuration: dict[str, Any]) -> float:
    return float(configuration["int_uniform"]) + configuration["categorical_w_probabilities"] / 10


def _search(
    sweep: SweepConfig,
    trials: int,
    *,
    seed: int = 0,
    known: Sequence[Observation] = (),
    score: Callable[[dict[str, Any]], float] = _score,
) -> list[Observation]:
    """Trials one at a time, after those that are known."""
    sampler, found = build_sampler(sweep, seed), list(known)
    for number in range(len(found), trials):
        configuration = sampler.propose(number, found)
        assert configuration is not None
        found.append(Observation(number, configuration, score(configuration)))
    return found


@pytest.mark.parametrize("method", METHODS)
def test_proposals_lie_in_the_space_of_every_distribution(method: str) -> None:
    sweep = _sweep(method)
    for each in _search(sweep, 9):
        flat = sweep.flatten(each.configuration)
        assert list(flat) == list(sweep.parameters)
        for name, value in flat.items():
            parameter = sweep.parameters[name]
            again = parameter.ppf(parameter.quantile(value))
            assert again == pytest.approx(value)
            assert isinstance(value, type(again))


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_proposals(method: str) -> None:
    first, second = _search(_sweep(method), 9), _search(_sweep(method), 9)
    assert first == second
    if method != "grid":
        assert _search(_sweep(method), 9, seed=1) != first


@pytest.mark.parametrize("method", METHODS)
def test_a_restored_search_goes_on_as_if_it_had_not_stopped(method: str) -> None:
    undisturbed = _search(_sweep(method), 10)
    for stop in (1, 4, 8):
        assert _search(_sweep(method), 10, known=undisturbed[:stop]) == undisturbed


def test_the_order_in_which_results_came_in_does_not_matter() -> None:
    sweep = _sweep("bayes")
    known = _search(sweep, 8)
    sampler = build_sampler(sweep, 0)
    assert sampler.propose(8, known) == sampler.propose(8, known[::-1])


def test_a_grid_ends() -> None:
    sweep = _sweep("grid", {"a": {"values": [1, 2]}})
    sampler = build_sampler(sweep, 0)
    assert [sampler.propose(number, ()) for number in range(4)] == [{"a": 1}, {"a": 2}, None, None]


def test_bayes_makes_parallel_proposals_differ() -> None:
    sweep = _sweep("bayes", {"x": {"min": 0.0, "max": 1.0}, "y": {"min": 0.0, "max": 1.0}})
    known = _search(sweep, 8, score=lambda each: (each["x"] - 0.3) ** 2 + (each["y"] - 0.7) ** 2)
    sampler = build_sampler(sweep, 0)
    for number in range(8, 12):
        configuration = sampler.propose(number, known)
        assert configuration not in [each.configuration for each in known]
        known.append(Observation(number, configuration, None))
    running = [(each.configuration["x"], each.configuration["y"]) for each in known[8:]]
    assert min(math.dist(a, b) for i, a in enumerate(running) for b in running[:i]) > 0.01


@pytest.mark.parametrize("goal", ["minimize", "maximize"])
def test_bayes_finds_what_random_draws_miss(goal: str) -> None:
    sign = 1 if goal == "minimize" else -1

    def score(configuration: dict[str, Any]) -> float:
        decades = math.log10(configuration["lr"] / 5e-5)
        return sign * (decades**2 + abs(configuration["layers"] - 3) + (configuration["kind"] != "b"))

    space = {
        "lr": {"distribution": "log_uniform_values", "min": 1e-7, "max": 1e-2},
        "layers": {"min": 1, "max": 12},
        "kind": {"values": ["a", "b", "c", "d"]},
    }
    best = {}
    for method in ("random", "bayes"):
        sweep = _sweep(method, space, goal)
        best[method] = statistics.median(
            min(sign * (each.value or 0.0) for each in _search(sweep, 20, seed=seed, score=score)) for seed in range(3)
        )
    assert best["bayes"] < best["random"] / 2


def test_bayes_keeps_away_from_where_training_failed() -> None:
    sweep = _sweep("bayes", {"x": {"min": 0.0, "max": 1.0}})
    found = _search(sweep, 20, score=lambda each: math.nan if each["x"] > 0.5 else 1 - each["x"])
    late = [each.configuration["x"] for each in found[10:]]
    assert sum(x <= 0.55 for x in late) >= 7


def test_bayes_goes_on_where_all_that_has_a_place_has_failed_or_runs() -> None:
    sweep = _sweep("bayes", {"x": {"min": 0.0, "max": 1.0}})
    sampler = build_sampler(sweep, 0, {"y": 1.0})
    elsewhere = [Observation(i, {"y": float(i)}, 0.5) for i in range(2)]
    for value in (math.nan, None):
        placed = [Observation(2 + i, {"x": 0.1 * i}, value) for i in range(6)]
        proposed = sampler.propose(8, [*elsewhere, *placed])
        assert proposed is not None
        assert 0 <= proposed["x"] <= 1


def test_bayes_takes_note_of_a_default_outside_the_space_or_leaves_it_out() -> None:
    sweep = _sweep("bayes", {"x": {"min": 0.0, "max": 1.0}, "batch": {"values": [4, 8]}})
    for default in ({"x": 5.0, "batch": 4}, {"x": 0.5, "batch": 16}, {"x": 0.5}):
        known = [Observation(0, default, 0.5)]
        for each in _search(sweep, 8, known=known, score=lambda each: each["x"])[1:]:
            assert set(each.configuration) == {"x", "batch"}
            assert 0 <= each.configuration["x"] <= 1


_COUNTABLE: dict[str, tuple[dict[str, Any], int]] = {
    "lists": ({"rate": {"values": [1e-6, 1e-5, 1e-4, 1e-3]}, "kind": {"values": ["a", "b", "c"]}}, 12),
    "whole numbers": ({"epochs": {"min": 3, "max": 8}, "sums": {"values": [1, 2]}}, 12),
    "steps off their bounds": ({"x": {"distribution": "q_uniform", "min": 0.5, "max": 9.5, "q": 1}}, 9),
    "steps without bounds": ({"x": {"distribution": "q_normal", "mu": 0, "sigma": 3, "q": 1}}, 15),
    "steps without end": ({"x": {"distribution": "q_log_normal", "mu": 2, "sigma": 1, "q": 1}}, 15),
    "steps so small that they are not laid out": (
        {"x": {"distribution": "q_uniform", "min": 0, "max": 1, "q": 1e-5}, "y": {"value": 1}},
        12,
    ),
}


@pytest.mark.parametrize("outcome", ["results", "failures"])
@pytest.mark.parametrize("space", _COUNTABLE)
def test_bayes_tries_nothing_twice(space: str, outcome: str) -> None:
    parameters, trials = _COUNTABLE[space]
    sweep = _sweep("bayes", parameters)

    def score(configuration: dict[str, Any]) -> float:
        places = [each.quantile(configuration[name]) for name, each in sweep.parameters.items()]
        return 0.1 + sum((place - 0.6) ** 2 for place in places) if outcome == "results" else math.nan

    tried = [each.configuration for each in _search(sweep, trials, score=score)]
    assert all(each not in tried[:number] for number, each in enumerate(tried))


@pytest.mark.parametrize("value", [0.5, math.nan, None])
@pytest.mark.parametrize("space", ["lists", "whole numbers", "steps off their bounds"])
def test_bayes_has_no_more_to_propose_once_all_has_been_tried(space: str, value: float | None) -> None:
    parameters, size = _COUNTABLE[space]
    sampler, known = build_sampler(_sweep("bayes", parameters), 0), list[Observation]()
    while (proposed := sampler.propose(len(known), known)) is not None and len(known) <= size:
        known.append(Observation(len(known), proposed, value))
    assert len(known) == size


def test_bayes_passes_over_what_was_no_number_on_a_trials_way() -> None:
    sweep = _sweep("bayes", {"x": {"min": 0.0, "max": 1.0}})
    smooth = [Observation(i, {"x": 0.1 * i}, 0.5 - 0.01 * i, share=1 - 0.1 * i) for i in range(6)]
    known = [replace(each, curve=(math.inf, math.nan, each.value)) for each in smooth]
    assert build_sampler(sweep, 0).propose(6, known) == build_sampler(sweep, 0).propose(6, smooth)


def test_bayes_begins_beside_the_default_and_not_with_it_again() -> None:
    sweep = _sweep("bayes", {"batch": {"values": [4, 8, 16]}, "sums": {"values": [1, 2]}})
    for seed in range(5):
        sampler = build_sampler(sweep, seed, {"batch": 16, "sums": 1})
        known = [Observation(0, {"batch": 16, "sums": 1}, 0.5)]
        for number in range(1, 6):
            proposed = sampler.propose(number, known)
            assert proposed not in [each.configuration for each in known]
            known.append(Observation(number, proposed, None))


@pytest.mark.parametrize("value", [0.5, math.nan])
def test_bayes_finds_what_is_left_where_there_is_more_than_it_looks_at(value: float) -> None:
    step = {"distribution": "q_log_uniform_values", "min": 1, "max": 600, "q": 1}
    sweep = _sweep("bayes", {"x": step, "kind": {"values": ["a", "b"]}})
    every = [{"x": x, "kind": kind} for x in range(1, 601) for kind in ("a", "b")]
    for left in ({"x": 1, "kind": "b"}, {"x": 377, "kind": "a"}, {"x": 541, "kind": "b"}):
        known = [Observation(i, each, value) for i, each in enumerate(every) if each != left]
        assert build_sampler(sweep, 0).propose(len(every), known) == left
