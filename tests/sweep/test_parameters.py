from __future__ import annotations

import math
from datetime import date
from typing import Any

import pytest

from stt_tune.sweep.distributions import Categorical, Constant, IntUniform, LogUniform, Quantised, Uniform
from stt_tune.sweep.parameters import parse_parameter, parse_parameters


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"value": 3}, Constant(3)),
        ({"value": None}, Constant(None)),
        ({"values": [1, "a"]}, Categorical((1, "a"))),
        ({"values": [1, 2], "probabilities": [0.25, 0.75]}, Categorical((1, 2), (0.25, 0.75))),
        ({"min": 1, "max": 5}, IntUniform(1, 5)),
        ({"min": 1, "max": 5.0}, Uniform(1.0, 5.0)),
        ({"min": 1.0, "max": 5}, Uniform(1.0, 5.0)),
        ({"distribution": "uniform", "min": 1, "max": 5}, Uniform(1.0, 5.0)),
        ({"distribution": "q_uniform", "min": 1, "max": 5}, Quantised(Uniform(1.0, 5.0), 1.0)),
        ({"distribution": "inv_log_uniform", "min": 0, "max": 1}, LogUniform(math.exp(-1), 1.0)),
    ],
)
def test_the_distribution_is_inferred_as_wandb_infers_it(spec: dict[str, Any], expected: object) -> None:
    assert parse_parameter(spec) == expected


def test_nested_parameters_have_paths() -> None:
    spec = {"optimizer": {"parameters": {"name": {"value": "adamw"}, "betas": {"parameters": {"b1": {"value": 0.9}}}}}}
    problems: list[str] = []
    assert parse_parameters(spec, problems) == {
        ("optimizer", "name"): Constant("adamw"),
        ("optimizer", "betas", "b1"): Constant(0.9),
    }
    assert problems == []


def test_all_problems_are_told_with_the_place_where_they_stand() -> None:
    spec = {"a": {"min": 3, "max": 1}, "b": {"parameters": {"c": {"values": []}, "d": 4, "e": {"value": 1}}}}
    problems: list[str] = []
    assert parse_parameters(spec, problems) == {("b", "e"): Constant(1)}
    first, second, third = problems
    assert first == "parameters.a: min < max must hold, but min=3, max=1. Swap or widen the bounds."
    assert second == "parameters.b.parameters.c.values: must be a list of at least one value, found []."
    assert third.startswith("parameters.b.parameters.d: must be a mapping")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (3, "p: must be a mapping, such as {value: 3}, found 3"),
        ([8, 16], r"p: must be a mapping, such as {values: \[8, 16\]}, found \[8, 16\]"),
        ({}, "must have value, values, min and max, or a distribution; found nothing"),
        ({"min": 1}, "must have value, values, min and max, or a distribution; found min"),
        ({"mu": 1, "sigma": 2}, "must have value, values, min and max, or a distribution; found mu, sigma"),
        ({"distribution": "gamma", "a": 1}, "p.distribution: must be one of constant, .*; found 'gamma'"),
        ({"distribution": ["normal"]}, "p.distribution: must be one of"),
        ({"distribution": "uniform", "min": 0}, "p.max: uniform needs it, and it is missing"),
        ({"distribution": "categorical", "values": [1], "probabilities": [1]}, "categorical_w_probabilities does"),
        ({"min": 0.0, "max": 1.0, "q": 0.1}, "p.q: uniform knows no such key; q_uniform does"),
        ({"min": 0.0, "max": 1.0, "foo": 2}, "p.foo: uniform knows no such key. Remove it"),
        (
            {"min": 3.0, "max": 1.0, "foo": 2},
            r"foo: uniform knows no such key. Remove it.\np: min < max must hold, but",
        ),
        ({"distribution": "normal", "sigma": 0, "q": 1}, r"q_normal does.\np.sigma: must be above 0, found 0"),
        ({"distribution": "uniform", "min": 3, "foo": 2}, r"Remove it.\np.max: uniform needs it, and it is missing.$"),
        ({"values": []}, "p.values: must be a list of at least one value"),
        ({"values": 8}, "p.values: must be a list of at least one value, found 8"),
        ({"values": [1, 2], "probabilities": [1]}, "p.probabilities: must be a list of 2, one for each value"),
        ({"values": [1, 2], "probabilities": [0.5, 0.6]}, "p.probabilities: must sum to 1, found 1.1"),
        ({"values": [1, 2], "probabilities": [1.5, -0.5]}, "p.probabilities: must be numbers of at least 0"),
        ({"min": 5, "max": 1}, "p: min < max must hold, but min=5, max=1"),
        ({"min": 0.0, "max": math.inf}, "p.max: must be a finite number, found inf"),
        ({"min": 0, "max": 10**400}, "p.max: must be a finite number, found 1000"),
        ({"min": math.nan, "max": 1.0}, "p.min: must be a finite number, found nan"),
        ({"distribution": "normal", "mu": math.inf}, "p.mu: must be a finite number, found inf"),
        ({"min": True, "max": 2}, "p.min: must be a finite number, found True"),
        ({"min": "low", "max": 1, "distribution": "uniform"}, "p.min: must be a finite number, found 'low'"),
        ({"distribution": "log_uniform_values", "min": 0, "max": 1}, "p.min: must be above 0"),
        ({"distribution": "inv_log_uniform_values", "min": 0, "max": 1}, "p.min: must be above 0"),
        ({"distribution": "q_uniform", "min": 0, "max": 1, "q": 0}, "p.q: must be above 0, found 0"),
        ({"distribution": "int_uniform", "min": 0.5, "max": 2}, "p: min and max must be whole numbers"),
        ({"distribution": "log_uniform", "min": 1, "max": 1000}, "exponents of e here and must lie from -700 to 700"),
        ({"min": 0, "max": 2**63}, "p: min and max must have at most 64 bits for int_uniform, found 0 and 9.22337e"),
        (
            {"value": 2**63},
            "p.value: must be of text, numbers of at most 64 bits, .* found the int 9223372036854775808",
        ),
        ({"values": [1, [-(2**64)]]}, "p.values: must be of text, .* found the int -18446744073709551616"),
        (
            {"value": date(2024, 1, 2)},
            "p.value: .* found the date 2024-01-02. Put it in quotes, if it is meant as text",
        ),
        ({"value": {date(2024, 1, 2): 3}}, "p.value: .* found the date 2024-01-02"),
        ({"values": [b"a"]}, "p.values: .* found the bytes b'a'"),
        ({"values": [{"a": {1, 2}}]}, "p.values: .* found the set {1, 2}"),
        (
            {"distribution": "q_uniform", "min": 0, "max": 1e300, "q": 1e-20},
            "p.q: must be larger: values reach 1e[+]300, and that is more of 1e-20 than can be counted",
        ),
        (
            {"distribution": "q_log_normal", "mu": 0, "sigma": 20, "q": 1},
            "p.q: must be written as 1.0: whole multiples must have at most 64 bits, and reach 2.0",
        ),
        ({"distribution": "normal", "sigma": 0}, "p.sigma: must be above 0, found 0"),
        ({"distribution": "beta", "a": 0}, "p.a: must be above 0, found 0"),
        ({"distribution": "log_normal", "mu": 600, "sigma": 50}, "give numbers without a finite value"),
    ],
)
def test_a_parameter_that_cannot_be_read_is_refused(spec: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_parameter(spec, "p")


@pytest.mark.parametrize("name", ["a b", "1st", "", 3, "lr!"])
def test_names_that_wandb_refuses_are_refused(name: Any) -> None:
    problems: list[str] = []
    assert parse_parameters({name: {"value": 1}}, problems) == {}
    assert "a name must be letters, digits" in problems[0]


def test_nested_parameters_stand_alone() -> None:
    problems: list[str] = []
    parse_parameters({"a": {"parameters": {"b": {"value": 1}}, "min": 1}, "c": {"parameters": {}}}, problems)
    first, second = problems
    assert "nested parameters stand alone, found min beside them" in first
    assert "parameters.c.parameters: must be a mapping of at least one parameter" in second


def test_a_wrong_step_does_not_hide_wrong_bounds() -> None:
    with pytest.raises(ValueError, match=r"min < max must hold.*\np.q: must be above 0, found 0"):
        parse_parameter({"distribution": "q_uniform", "min": 3, "max": 1, "q": 0}, "p")
