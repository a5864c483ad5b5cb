"""Every distribution against W&B's own answers, and against what must hold of any distribution."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stt_tune.sweep.distributions import Categorical
from stt_tune.sweep.parameters import _SCHEMAS, parse_parameter
from tests.sweep import specs


def test_ppf_equals_wandbs_value_by_value_and_type_by_type(wandb_reference: dict[str, Any]) -> None:
    compared = 0
    for entry in wandb_reference["distributions"]:
        parameter = parse_parameter(entry["spec"])
        for u, expected in zip(entry["u"], entry["ppf"], strict=True):
            found = parameter.ppf(u)
            assert type(found) is type(expected), (entry["spec"], u)
            same = math.isclose(found, expected, rel_tol=1e-9) if isinstance(expected, float) else found == expected
            assert same, (entry["spec"], u, found, expected)
            compared += 1
    assert compared >= 26 * 17


def test_the_examples_hold_one_of_every_distribution() -> None:
    assert set(specs.EVERY) == set(_SCHEMAS)


@given(specs.continuous_specs, specs.quantiles)
def test_cdf_undoes_ppf_where_the_distribution_is_continuous(spec: dict[str, Any], u: float) -> None:
    parameter = parse_parameter(spec)
    value = parameter.ppf(u)
    assert math.isfinite(value)
    # a value of double precision pins its quantile down as well as the distribution is steep there
    step = abs(value) * 1e-14 + 1e-300
    slack = parameter.cdf(value + step) - parameter.cdf(value - step)
    assert parameter.cdf(value) == pytest.approx(u, abs=1e-9 + slack)


@given(st.one_of(specs.quantised_specs, specs.discrete_specs), specs.quantiles)
def test_ppf_is_the_least_value_whose_cdf_reaches_the_quantile(spec: dict[str, Any], u: float) -> None:
    parameter = parse_parameter(spec)
    value = parameter.ppf(u)
    assert parameter.cdf(value) >= u - 1e-9
    for lower in (u * share for share in (0.0, 0.3, 0.9)):
        before = parameter.ppf(lower)
        if before != value:
            assert parameter.cdf(before) <= u + 1e-9


@given(specs.quantised_specs, specs.quantiles)
def test_quantised_values_are_multiples_and_whole_where_q_is(spec: dict[str, Any], u: float) -> None:
    value, q = parse_parameter(spec).ppf(u), spec["q"]
    assert isinstance(value, type(q))
    assert value == round(value / q) * q
    continuous = parse_parameter(
        {key: each for key, each in spec.items() if key not in ("q", "distribution")}
        | {"distribution": spec["distribution"].removeprefix("q_")}
    ).ppf(u)
    assert abs(value - continuous) <= q / 2 * (1 + 1e-9)


@given(st.one_of(specs.continuous_specs, specs.discrete_specs), specs.quantiles)
def test_bounds_hold(spec: dict[str, Any], u: float) -> None:
    value = parse_parameter(spec).ppf(u)
    distribution = spec.get("distribution", "")
    if "min" in spec and distribution not in ("log_uniform", "inv_log_uniform"):
        assert spec["min"] <= value <= spec["max"]
    if distribution in ("log_uniform", "inv_log_uniform"):
        low, high = sorted(
            math.exp(sign * spec[key])
            for key in ("min", "max")
            for sign in [1 if distribution == "log_uniform" else -1]
        )
        assert low <= value <= high
    if distribution == "beta":
        assert 0 <= value <= 1


@given(st.one_of(specs.continuous_specs, specs.quantised_specs, specs.discrete_specs), specs.quantiles)
def test_quantile_leads_back_to_the_value(spec: dict[str, Any], u: float) -> None:
    parameter = parse_parameter(spec)
    value = parameter.ppf(u)
    again = parameter.ppf(parameter.quantile(value))
    assert again == (pytest.approx(value, rel=1e-6, abs=1e-6) if isinstance(value, float) else value)


@given(specs.weights)
def test_what_has_no_probability_is_never_drawn_and_all_else_can_be(weights: list[int]) -> None:
    likely = [each / sum(weights) for each in weights]
    parameter = parse_parameter({"values": list(range(len(weights))), "probabilities": likely})
    ends = np.cumsum(likely)
    reached = {parameter.ppf(min(float(u), 1.0)) for end in ends for u in (end - 1e-12, end + 1e-12, end) if u >= 0}
    assert reached | {parameter.ppf(0.0), parameter.ppf(1.0)} == {i for i, each in enumerate(weights) if each}


@pytest.mark.parametrize("name", specs.EVERY)
def test_both_ends_give_a_value_that_training_can_use(name: str) -> None:
    parameter = parse_parameter(specs.EVERY[name])
    for u in (0.0, 1.0, 0, 1):
        value = parameter.ppf(u)
        assert not isinstance(value, float) or math.isfinite(value)


@pytest.mark.parametrize("u", [-0.1, 1.1, math.nan])
def test_a_quantile_outside_the_unit_interval_is_refused(u: float) -> None:
    with pytest.raises(ValueError, match="a quantile must be from 0 to 1"):
        parse_parameter({"min": 1, "max": 3}).ppf(u)


@pytest.mark.parametrize("name", specs.EVERY)
def test_draws_follow_the_generator(name: str) -> None:
    parameter = parse_parameter(specs.EVERY[name])
    first, second = ([parameter.sample(rng) for _ in range(20)] for rng in map(np.random.default_rng, (5, 5)))
    assert first == second


def test_zero_and_false_are_values_like_any_other() -> None:
    parameter = parse_parameter({"values": [0, False, 0.0, None, ""]})
    assert [parameter.ppf((i + 0.5) / 5) for i in range(5)] == [0, False, 0.0, None, ""]
    assert parameter.cdf(False) == pytest.approx(0.4)
    with pytest.raises(ValueError, match=r"must be one of 0, False, 0\.0, None, ''; found True"):
        parameter.cdf(True)


@pytest.mark.parametrize(
    ("spec", "values"),
    [
        ({"values": [8, 16, 8]}, [8, 16]),
        ({"values": [[8], {"a": 1}, [8]]}, [[8], {"a": 1}]),
        ({"values": [1, True, 1.0, 0]}, [1, True, 0]),
        ({"values": [1, 2, 4], "probabilities": [0.5, 0, 0.5]}, [1, 4]),
        ({"values": [1, 2, 1], "probabilities": [0, 0.5, 0.5]}, [2, 1]),
        ({"min": 2, "max": 5}, range(2, 6)),
        ({"distribution": "q_uniform", "min": 0, "max": 10, "q": 5}, [0, 5, 10]),
        ({"distribution": "q_uniform", "min": 1, "max": 9, "q": 4}, [1, 5, 9]),
        ({"distribution": "q_uniform", "min": 0.0, "max": 0.3, "q": 0.1}, [0.0, 0.1, 0.2, pytest.approx(0.3)]),
        ({"distribution": "q_log_uniform_values", "min": 1, "max": 4, "q": 1}, [1, 2, 3, 4]),
        ({"distribution": "q_beta", "q": 0.5}, [0.0, 0.5, 1.0]),
        ({"distribution": "q_normal", "q": 1}, None),
        ({"min": 0.0, "max": 1.0}, None),
    ],
)
def test_a_grid_lists_every_value_that_can_be_counted(spec: dict[str, Any], values: list[Any] | None) -> None:
    parameter = parse_parameter(spec)
    assert parameter.grid() == values
    assert parameter.grid_size() == (None if values is None else len(values))


@pytest.mark.parametrize(
    ("spec", "values"),
    [
        ({"values": ["a", "b"]}, ["a", "b"]),
        ({"min": 2, "max": 5}, [2, 3, 4, 5]),
        ({"min": 0.0, "max": 1.0}, None),
        ({"distribution": "q_uniform", "min": 1, "max": 10, "q": 4}, [0, 4, 8]),
        ({"distribution": "q_uniform", "min": 0.5, "max": 3.5, "q": 1}, [1, 2, 3]),
        ({"distribution": "q_uniform", "min": 0.6, "max": 0.8, "q": 1.0}, [1.0]),
        ({"distribution": "q_normal", "mu": 0.5, "sigma": 0.01, "q": 1}, [0, 1]),
    ],
)
def test_values_that_can_be_drawn_are_listed(spec: dict[str, Any], values: list[Any] | None) -> None:
    parameter = parse_parameter(spec)
    assert parameter.list_values(100) == values
    assert parameter.list_values(2) in (None, values[:2] if values else None, values[1:] if values else None)


def test_what_is_vast_is_counted_and_not_laid_out() -> None:
    rate = parse_parameter({"distribution": "q_log_uniform_values", "min": 1e-6, "max": 1e-2, "q": 1e-15})
    assert rate.grid_size() == pytest.approx(1e13, rel=1e-3)
    around = rate.list_values(11)
    assert around is not None
    assert around == pytest.approx([1e-4 + step * 1e-15 for step in range(-5, 6)], rel=1e-12)
    assert parse_parameter({"min": -(2**63), "max": 2**63 - 1025}).grid_size() == 2**64 - 1024


class _Counted:
    """A value that counts how often it is compared."""

    compared = 0

    def __eq__(self, other: object) -> bool:
        _Counted.compared += 1
        return self is other

    __hash__ = object.__hash__


def test_a_long_list_is_gone_through_once() -> None:
    values = tuple(_Counted() for _ in range(2000))
    choice = Categorical(values)
    assert len(choice.grid()) == 2000
    assert [choice.position(each) for each in values[::100]] == list(range(0, 2000, 100))
    assert _Counted.compared < 20 * 2000
