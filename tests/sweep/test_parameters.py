from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stt_tune.sweep.parameters import _READERS, parse_parameter

_NOT_YET = ("distribution: must be one of", "probabilities: categorical knows no such key")


def _is_supported(entry: dict[str, Any]) -> bool:
    try:
        parse_parameter("p", entry["spec"])
    except ValueError as error:
        if not any(reason in str(error) for reason in _NOT_YET):
            raise
        return False
    return True


def test_ppf_of_supported_distributions_equals_wandb(wandb_reference: dict[str, Any]) -> None:
    compared = 0
    for entry in filter(_is_supported, wandb_reference["distributions"]):
        parameter = parse_parameter("p", entry["spec"])
        for u, expected in zip(entry["u"], entry["ppf"], strict=True):
            found = parameter.ppf(u)
            assert type(found) is type(expected), (entry["spec"], u)
            same = math.isclose(found, expected, rel_tol=1e-9) if isinstance(expected, float) else found == expected
            assert same, (entry["spec"], u, found, expected)
            compared += 1
    assert compared >= 100


@given(st.floats(0, 1), st.integers(-50, 50), st.integers(1, 60))
def test_int_uniform_gives_whole_numbers_within_both_bounds(u: float, low: int, width: int) -> None:
    value = parse_parameter("p", {"min": low, "max": low + width}).ppf(u)
    assert isinstance(value, int)
    assert low <= value <= low + width


@given(st.floats(0, 1), st.floats(1e-9, 1.0), st.floats(1.001, 1e6))
def test_log_uniform_values_stays_within_its_bounds(u: float, low: float, ratio: float) -> None:
    spec = {"distribution": "log_uniform_values", "min": low, "max": low * ratio}
    assert low <= parse_parameter("p", spec).ppf(u) <= low * ratio


@given(st.lists(st.integers(), min_size=1, max_size=20))
def test_every_listed_value_is_reached(values: list[int]) -> None:
    parameter = parse_parameter("p", {"values": values})
    assert [parameter.ppf((i + 0.5) / len(values)) for i in range(len(values))] == values


def test_numbers_that_yaml_reads_as_strings_are_numbers() -> None:
    spec = {"distribution": "log_uniform_values", "min": "1e-6", "max": "1e-3"}
    assert parse_parameter("p", spec).ppf(1.0) == pytest.approx(1e-3)
    assert parse_parameter("p", {"values": ["1e-5", "adamw"]}).ppf(0.1) == 1e-5
    assert parse_parameter("p", {"value": "3E-5"}).ppf(0.5) == 3e-5


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (3, "parameters.p: must be a mapping"),
        ({}, "must have value, values, or min and max; found nothing"),
        ({"min": 1}, "must have value, values, or min and max; found min"),
        ({"distribution": "beta", "a": 1, "b": 2}, "distribution: must be one of constant, .*; found 'beta'"),
        ({"values": [1], "probabilities": [1.0]}, "probabilities: categorical knows no such key"),
        ({"distribution": "uniform", "min": 0}, "max: uniform needs it, and it is missing"),
        ({"values": []}, "values: must be a list of at least one value"),
        ({"min": 5, "max": 1}, "min < max must hold, but min=5, max=1"),
        ({"min": 0.0, "max": math.inf}, "max: must be a finite number, found inf"),
        ({"min": "low", "max": 1, "distribution": "uniform"}, "min: must be a finite number, found 'low'"),
        ({"distribution": "log_uniform_values", "min": 0, "max": 1}, "min: must be above 0"),
        ({"distribution": "int_uniform", "min": 0.5, "max": 2}, "min and max must be whole numbers"),
    ],
)
def test_a_parameter_that_cannot_be_read_is_refused(spec: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_parameter("p", spec)


def test_every_distribution_has_a_reader_and_its_keys() -> None:
    assert set(_READERS) == {"constant", "categorical", "int_uniform", "uniform", "log_uniform_values"}
