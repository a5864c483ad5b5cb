"""The model behind Bayesian search."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest

from stt_tune.sweep import gaussian_process


@pytest.mark.parametrize("u", [-1e5, -500.0, -30.0, -5.0, -1.001, -0.999, 0.0, 0.7, 5.0, 40.0])
def test_the_expected_improvement_is_exact_far_out_too(u: float) -> None:
    with mpmath.workdps(60):
        x = mpmath.mpf(u)
        density = mpmath.exp(-x * x / 2) / mpmath.sqrt(2 * mpmath.pi)
        exact = float(mpmath.log((density + x * mpmath.erfc(-x / mpmath.sqrt(2)) / 2) * 2))
    found = gaussian_process.log_expected_improvement(np.array([1.0]), np.array([2.0]), 1.0 + 2 * u)
    assert found[0] == pytest.approx(exact, rel=1e-6)


def _learn(noise: float = 0.0) -> tuple[gaussian_process.Array, gaussian_process.Array, gaussian_process.Array]:
    points = np.random.default_rng(0).random((30, 2))
    values = np.sin(6 * points[:, 0])
    return points, (values - values.mean()) / values.std(), np.full(30, noise)


def test_it_learns_a_smooth_function_and_which_axis_matters() -> None:
    points, values, noise = _learn()
    process = gaussian_process.fit(points, values, noise)
    others = np.random.default_rng(1).random((50, 2))
    mean, deviation = gaussian_process.predict(process, others)
    truth = np.sin(6 * others[:, 0])
    assert np.corrcoef(mean, truth)[0, 1] > 0.98
    assert (deviation > 0).all()
    lengths = process.kernel_.k1.k2.length_scale
    assert lengths[1] > 2 * lengths[0]


def test_a_value_with_noise_of_its_own_counts_less() -> None:
    points, values, noise = _learn()
    kernel = gaussian_process.fit(points, values, noise).kernel_
    wrong = values.copy()
    wrong[0] += 3
    trusting, _ = gaussian_process.predict(gaussian_process.condition(kernel, points, wrong, noise), points[:1])
    noise[0] = 4.0
    wary, deviation = gaussian_process.predict(gaussian_process.condition(kernel, points, wrong, noise), points[:1])
    assert abs(wary[0] - values[0]) < abs(trusting[0] - values[0]) / 3
    assert deviation[0] < math.sqrt(4.0)


def test_many_points_are_all_known_though_it_learns_from_some() -> None:
    points = np.random.default_rng(0).random((400, 2))
    values = np.sin(6 * points[:, 0])
    mean, _ = gaussian_process.predict(gaussian_process.fit(points, values, np.zeros(400)), points)
    assert np.abs(mean - values).max() < 0.1
