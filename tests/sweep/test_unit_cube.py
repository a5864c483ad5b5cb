"""The axes on which a model searches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stt_tune.sweep.config import SweepConfig
from stt_tune.sweep.unit_cube import UnitCube
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
