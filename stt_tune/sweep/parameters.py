"""Distributions of a W&B sweep's parameters, as W&B's own engine defines them.

Each maps a number from 0 to 1 to a value (`ppf`, the inverse of the distribution function), so
that any sampler can work in the unit cube.

Source: W&B's sweep engine (PyPI `sweeps` 0.3.0), `params.py`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

# YAML 1.1 reads 1e-5 as a string: it wants a dot in a number with an exponent.
_EXPONENT = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")


class Parameter(Protocol):
    """One parameter's distribution."""

    def ppf(self, u: float) -> Any:
        """The value at quantile `u`, from 0 to 1."""


@dataclass(frozen=True)
class Constant:
    """`value`: always the same."""

    value: Any

    def ppf(self, u: float) -> Any:
        """The value, whatever `u` is."""
        return self.value


@dataclass(frozen=True)
class Categorical:
    """`values`: each equally likely."""

    values: tuple[Any, ...]

    def ppf(self, u: float) -> Any:
        """The value at quantile `u`."""
        return self.values[_index(u, len(self.values))]


@dataclass(frozen=True)
class IntUniform:
    """`int_uniform`: whole numbers from `min` to `max`, both included."""

    min: int
    max: int

    def ppf(self, u: float) -> int:
        """The value at quantile `u`."""
        return self.min + _index(u, self.max - self.min + 1)


@dataclass(frozen=True)
class Uniform:
    """`uniform`: real numbers from `min` to `max`."""

    min: float
    max: float

    def ppf(self, u: float) -> float:
        """The value at quantile `u`."""
        return self.min + u * (self.max - self.min)


@dataclass(frozen=True)
class LogUniformValues:
    """`log_uniform_values`: from `min` to `max`, uniform in the logarithm."""

    min: float
    max: float

    def ppf(self, u: float) -> float:
        """The value at quantile `u`."""
        low, high = math.log(self.min), math.log(self.max)
        return min(max(math.exp(low + u * (high - low)), self.min), self.max)


def _index(u: float, count: int) -> int:
    """Which of `count` equal parts of 0..1 holds `u`; a bound belongs to the part below it."""
    # the tolerance is scipy's for discrete distributions: 0.3 * 10 must be 3, not 3.0000000000000004
    return min(max(math.ceil(u * count - 1e-9) - 1, 0), count - 1)


def parse_parameter(name: str, spec: Any) -> Parameter:
    """Read one entry of a sweep's `parameters`.

    The distribution is inferred as W&B infers it: `value` is a constant, `values` a choice,
    `min` and `max` are whole numbers (`int_uniform`) or real ones (`uniform`).

    Raises:
        ValueError: The entry cannot be read; the message holds all its problems, one a line.
    """
    where = f"parameters.{name}"
    if not isinstance(spec, Mapping):
        raise ValueError(f"{where}: must be a mapping such as {{min: 1, max: 5}}, found {spec!r}.")
    distribution = spec.get("distribution") or _infer(spec)
    if distribution is None:
        raise ValueError(f"{where}: must have value, values, or min and max; found {', '.join(spec) or 'nothing'}.")
    if distribution not in _READERS:
        known = ", ".join(_READERS)
        raise ValueError(f"{where}.distribution: must be one of {known}; found {distribution!r}.")
    keys, read = _READERS[distribution]
    unknown = [key for key in spec if key not in (*keys, "distribution")]
    problems = [f"{where}.{key}: {distribution} knows no such key. Remove it." for key in unknown]
    problems += [f"{where}.{key}: {distribution} needs it, and it is missing." for key in keys if key not in spec]
    if problems:
        raise ValueError("\n".join(problems))
    return read(where, spec)


def _infer(spec: Mapping[str, Any]) -> str | None:
    if "value" in spec:
        return "constant"
    if "values" in spec:
        return "categorical"
    if "min" in spec and "max" in spec:
        whole = all(isinstance(spec[key], int) and not isinstance(spec[key], bool) for key in ("min", "max"))
        return "int_uniform" if whole else "uniform"
    return None


def _plain(value: Any) -> Any:
    return float(value) if isinstance(value, str) and _EXPONENT.fullmatch(value) else value


def _read_constant(_where: str, spec: Mapping[str, Any]) -> Parameter:
    return Constant(_plain(spec["value"]))


def _read_categorical(where: str, spec: Mapping[str, Any]) -> Parameter:
    values = spec["values"]
    if not isinstance(values, list | tuple) or not values:
        raise ValueError(f"{where}.values: must be a list of at least one value, found {values!r}.")
    return Categorical(tuple(_plain(value) for value in values))


def _read_uniform(where: str, spec: Mapping[str, Any]) -> Parameter:
    return Uniform(*_bounds(where, spec))


def _read_log_uniform_values(where: str, spec: Mapping[str, Any]) -> Parameter:
    low, high = _bounds(where, spec)
    if low <= 0:
        raise ValueError(f"{where}.min: must be above 0 for log_uniform_values, found {low:g}.")
    return LogUniformValues(low, high)


def _read_int_uniform(where: str, spec: Mapping[str, Any]) -> Parameter:
    low, high = _bounds(where, spec)
    if not (low.is_integer() and high.is_integer()):
        raise ValueError(f"{where}: min and max must be whole numbers for int_uniform, found {low:g} and {high:g}.")
    return IntUniform(int(low), int(high))


def _bounds(where: str, spec: Mapping[str, Any]) -> tuple[float, float]:
    bounds: dict[str, float] = {}
    problems = []
    for key in ("min", "max"):
        value = _plain(spec[key])
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            problems.append(f"{where}.{key}: must be a finite number, found {value!r}.")
        else:
            bounds[key] = float(value)
    if problems:
        raise ValueError("\n".join(problems))
    low, high = bounds["min"], bounds["max"]
    if not low < high:
        raise ValueError(f"{where}: min < max must hold, but min={low:g}, max={high:g}. Swap or widen the bounds.")
    return low, high


_READERS = {
    "constant": (("value",), _read_constant),
    "categorical": (("values",), _read_categorical),
    "int_uniform": (("min", "max"), _read_int_uniform),
    "uniform": (("min", "max"), _read_uniform),
    "log_uniform_values": (("min", "max"), _read_log_uniform_values),
}
