"""The axes on which a model searches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stt_tune.sweep.config import SweepConfig
from stt_tune.sweep.unit_cube import UnitCube
from tests.sweep import specs
from tests.sweep.specs import EVERY


def _sweep(parameters: dict[str, Any]) -> SweepConfig:
    return SweepConfig.from_dict({"method": "bayes", "metric": {"name": "wer"}, "parameters": parameters})


def test_every_distribution_comes_back_from_its_place() -> None:
    sweep = _sweep(EVERY)
    cube = UnitCube(sweep)
    assert cube.size == len(EVERY) - 1  # one is constant
    for point in cube.spread(np.random.default_rng(0).random((50, cube.size))):
        configuration = cube.configuration(point)
        place = cube.place(configuration)
        assert place is not None
        flat, again = sweep.flatten(configuration), sweep.flatten(cube.configuration(place))
        assert again == pytest.approx(flat)


def test_whole_numbers_and_numbers_to_choose_from_lie_in_order_at_the_middles_of_equal_parts() -> None:
    cube = UnitCube(_sweep({"epochs": {"min": 3, "max": 6}, "batch": {"values": [32, 4, 8, 16]}}))
    for epochs, batch, place in ((3, 4, 0.125), (4, 8, 0.375), (6, 32, 0.875)):
        assert cube.place({"epochs": epochs, "batch": batch}) == pytest.approx([place, place])
    assert cube.snap(np.array([[0.2, 0.3]])) == pytest.approx(np.array([[0.125, 0.375]]))
    # one that is not in the list
    assert cube.place({"epochs": 40, "batch": 12}) == pytest.approx([1.0, 0.5])


def test_choices_without_an_order_are_equally_far_apart() -> None:
    cube = UnitCube(_sweep({"schedule": {"values": ["linear", "cosine", "constant"]}, "x": {"min": 0.0, "max": 1.0}}))
    places = [cube.place({"schedule": each, "x": 0.5}) for each in ("linear", "cosine", "constant")]
    features = cube.features(np.array(places))
    assert features.shape == (3, 4)
    distances = [np.linalg.norm(features[i] - features[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    assert distances == pytest.approx([1.0, 1.0, 1.0])
    assert cube.place({"schedule": "polynomial", "x": 0.5}) is None
    assert cube.place({"schedule": "linear"}) is None


def test_what_lies_beyond_a_bound_comes_back_from_it() -> None:
    cube = UnitCube(_sweep({"x": {"min": 0.0, "max": 1.0}}))
    assert cube.snap(np.array([[1.2], [-0.3], [0.4]])) == pytest.approx(np.array([[0.8], [0.3], [0.4]]))


def test_points_are_chosen_within_a_narrower_sweep_and_placed_in_the_whole_one() -> None:
    wide = {"rate": {"distribution": "log_uniform_values", "min": 1e-6, "max": 1e-2}, "batch": {"values": [4, 8, 16]}}
    narrow = {"rate": {"distribution": "log_uniform_values", "min": 1e-5, "max": 1e-4}, "batch": {"values": [8, 16]}}
    cube = UnitCube(_sweep({**wide, "epochs": {"min": 1, "max": 9}}), _sweep({**narrow, "epochs": {"value": 4}}))
    assert cube.place({"rate": 1e-4, "batch": 4, "epochs": 4}) == pytest.approx([0.5, 1 / 6, 3.5 / 9])
    for point in cube.spread(np.random.default_rng(0).random((30, 3))):
        configuration = cube.configuration(point)
        assert 1e-5 * 0.999 <= configuration["rate"] <= 1e-4 * 1.001
        assert configuration["batch"] in (8, 16)
        assert configuration["epochs"] == 4


@pytest.mark.parametrize(
    "spec",
    [
        {"distribution": "q_uniform", "min": 50, "max": 500, "q": 100},
        {"distribution": "q_uniform", "min": 0.5, "max": 9.5, "q": 1},
        {"distribution": "q_uniform", "min": 1, "max": 10, "q": 4},
        {"distribution": "q_uniform", "min": -3.0, "max": 3.0, "q": 2.0},
        {"distribution": "q_log_uniform_values", "min": 4, "max": 60, "q": 8},
        {"distribution": "q_beta", "a": 2, "b": 2, "q": 0.25},
    ],
)
def test_steps_are_those_that_random_draws_have(spec: dict[str, Any]) -> None:
    cube, rng = UnitCube(_sweep({"x": spec})), np.random.default_rng(0)
    drawn = {_sweep({"x": spec}).sample(rng)["x"] for _ in range(3000)}
    assert {cube.configuration(point)["x"] for point in cube.list_points(100)} == drawn
    assert {cube.configuration(point)["x"] for point in cube.spread(rng.random((3000, 1)))} == drawn


_LONG: dict[str, dict[str, Any]] = {
    "whole": {"min": 0, "max": 10**6},
    "listed": {"values": list(range(1500))},
    "named": {"values": [f"checkpoint-{i}" for i in range(1500)]},
    "steps": {"distribution": "q_log_uniform_values", "min": 1e-6, "max": 1e-2, "q": 1e-9},
    "unbounded": {"distribution": "q_normal", "mu": 0, "sigma": 3, "q": 1e-4},
}


@given(st.one_of(specs.quantised_specs, specs.discrete_specs, st.sampled_from(list(_LONG.values()))), st.data())
def test_a_value_that_was_drawn_lies_where_it_would_be_chosen(spec: dict[str, Any], data: st.DataObject) -> None:
    sweep = _sweep({"x": spec, "y": {"min": 1, "max": 2}})
    cube, u = UnitCube(sweep), data.draw(st.floats(1e-6, 1 - 1e-6))
    value = sweep.parameters["x"].ppf(u)
    place = cube.place({"x": value, "y": 1})
    assert place is not None
    assert cube.snap(place[None])[0] == pytest.approx(place, abs=1e-9)
    assert cube.configuration(place)["x"] == value
    assert cube.is_countable


def test_points_of_real_numbers_are_not_listed() -> None:
    cube = UnitCube(_sweep({"batch": {"values": [4, 8]}, "x": {"min": 0.0, "max": 1.0}}))
    assert not cube.is_countable
    assert cube.list_points(10).shape == (0, 2)
    fixed = UnitCube(
        _sweep({"batch": {"values": [4, 8]}, "x": {"min": 0.0, "max": 1.0}}),
        _sweep({"batch": {"values": [4, 8]}, "x": {"value": 0.25}}),
    )
    assert fixed.list_points(10) == pytest.approx(np.array([[0.25, 0.25], [0.75, 0.25]]))


def test_so_many_points_are_listed_as_are_asked_for_and_there_are() -> None:
    cube = UnitCube(_sweep({"a": {"min": 1, "max": 10**12}, "b": _LONG["steps"], "c": {"values": ["x", "y"]}}))
    for most in (1, 7, 500):
        assert len(np.unique(cube.list_points(most), axis=0)) == most
    small = UnitCube(_sweep({"a": {"min": 1, "max": 3}, "c": {"values": ["x", "y"]}}))
    assert len(small.list_points(100)) == 6
