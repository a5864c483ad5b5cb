"""Distributions of a W&B sweep's parameters, as W&B's own engine defines them.

Each maps a number from 0 to 1 to a value (`ppf`, the inverse of the distribution function), so
that any sampler can work in the unit cube.

Source: W&B's sweep engine (PyPI `sweeps` 0.3.0), `params.py`.
"""

from __future__ import annotations

import functools
import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

# Ends that are infinite, or have no probability, are left out; this is as close to them as a draw comes.
_LEAST_U = 2.0**-53
_MOST = (0.001, 0.999)


class Parameter(ABC):
    """One parameter's distribution."""

    def ppf(self, u: float) -> Any:
        """The value at quantile `u`: the least one whose `cdf` reaches it.

        Raises:
            ValueError: `u` is not from 0 to 1.
        """
        if not 0 <= u <= 1:
            raise ValueError(f"a quantile must be from 0 to 1, found {u!r}")
        return self._ppf(float(u))

    def sample(self, rng: np.random.Generator) -> Any:
        """Draw one value."""
        return self._ppf(float(rng.random()))

    @abstractmethod
    def cdf(self, x: Any) -> float:
        """The probability of a value up to and including `x`."""

    def quantile(self, x: Any) -> float:
        """Where `x` lies in the unit interval: `ppf` gives it back; outside the bounds, the nearer end.

        Raises:
            ValueError: `x` is no value of a listed choice.
        """
        return self.cdf(x)

    def grid(self) -> Sequence[Any] | None:
        """All values that a grid has, in order; None where they have no end or no gaps."""
        return None

    def grid_size(self) -> int | None:
        """How many values `grid` has; they are not laid out for it."""
        grid = self.grid()
        return None if grid is None else len(grid)

    def list_values(self, most: int) -> list[Any] | None:
        """The values that can be drawn, or `most` of them where there are more; None where they have no gaps."""
        grid = self.grid()
        return None if grid is None else list(grid[:most])

    def extremes(self) -> list[Any]:
        """Values between which the others lie; where there are no bounds, those of 99.8 % of the draws."""
        return [self._ppf(u) for u in (0.0, 1.0)]

    @abstractmethod
    def _ppf(self, u: float) -> Any: ...


@dataclass(frozen=True)
class Constant(Parameter):
    """`value`: always the same."""

    value: Any

    def _ppf(self, u: float) -> Any:
        return self.value

    def cdf(self, x: Any) -> float:
        """1: it is the only value.

        Raises:
            ValueError: `x` is another one.
        """
        return Categorical((self.value,)).cdf(x)

    def grid(self) -> list[Any]:
        """The value."""
        return [self.value]

    def extremes(self) -> list[Any]:
        """The value."""
        return [self.value]


@dataclass(frozen=True)
class Categorical(Parameter):
    """`values`: each equally likely, or as likely as `probabilities` say; their order is that of the list."""

    values: tuple[Any, ...]
    probabilities: tuple[float, ...] | None = None

    def _ppf(self, u: float) -> Any:
        if self.probabilities is None:
            return self.values[_index(u, len(self.values))]
        # the last value that can be drawn takes what rounding leaves of the sum
        possible = [i for i, each in enumerate(self.probabilities) if each > 0]
        return self.values[next((i for i in possible if u < self._reached(i)), possible[-1])]

    def cdf(self, x: Any) -> float:
        """The probability of `x` and of what stands before it in the list.

        Raises:
            ValueError: `x` is not in the list.
        """
        return self._reached(self.position(x))

    def position(self, x: Any) -> int:
        """The place of `x` in the list, from 0; 1 is 1.0, and True is not 1.

        Raises:
            ValueError: `x` is not in the list.
        """
        position = self._find(x)
        if position is None:
            raise ValueError(f"must be one of {', '.join(map(repr, self.values))}; found {x!r}")
        return position

    def quantile(self, x: Any) -> float:
        """The middle of the interval of `x`."""
        position = self.position(x)
        return (self._reached(position) + (self._reached(position - 1) if position else 0.0)) / 2

    def grid(self) -> list[Any]:
        """All values that can be drawn, each once."""
        if self.probabilities is not None:
            return Categorical(tuple(itertools.compress(self.values, self.probabilities))).grid()
        return [value for position, value in enumerate(self.values) if self._find(value) == position]

    def extremes(self) -> list[Any]:
        """All of them: their order says nothing of what lies between."""
        return self.grid()

    def _find(self, x: Any) -> int | None:
        if isinstance(x, Hashable):
            return self._positions.get((isinstance(x, bool), x))
        return next((position for position, value in enumerate(self.values) if value == x), None)

    @functools.cached_property
    def _positions(self) -> Mapping[tuple[bool, Any], int]:
        """Where values stand first in the list; lists and mappings cannot be looked up."""
        found: dict[tuple[bool, Any], int] = {}
        for position, value in enumerate(self.values):
            if isinstance(value, Hashable):
                found.setdefault((isinstance(value, bool), value), position)
        return found

    def _reached(self, position: int) -> float:
        return (position + 1) / len(self.values) if self.probabilities is None else self._sums[position]

    @functools.cached_property
    def _sums(self) -> list[float]:
        return [min(each, 1.0) for each in itertools.accumulate(self.probabilities or ())]


@dataclass(frozen=True)
class IntUniform(Parameter):
    """`int_uniform`: whole numbers from `min` to `max`, both included."""

    min: int
    max: int

    def _ppf(self, u: float) -> int:
        return self.min + _index(u, self.max - self.min + 1)

    def cdf(self, x: float) -> float:
        """The share of whole numbers up to `x`."""
        return _clip((math.floor(x) - self.min + 1) / (self.max - self.min + 1))

    def grid(self) -> range:
        """Every whole number."""
        return range(self.min, self.max + 1)

    def grid_size(self) -> int:
        """How many whole numbers there are, which can be more than `len` knows."""
        return self.max - self.min + 1


@dataclass(frozen=True)
class Uniform(Parameter):
    """`uniform`: real numbers from `min` to `max`."""

    min: float
    max: float

    def _ppf(self, u: float) -> float:
        return min(self.min + u * (self.max - self.min), self.max)

    def cdf(self, x: float) -> float:
        """The share of the interval up to `x`."""
        return _clip((x - self.min) / (self.max - self.min))


@dataclass(frozen=True)
class LogUniform(Parameter):
    """`log_uniform`, `inv_log_uniform` and their `_values`: from `min` to `max`, uniform in the logarithm.

    The four differ in how the bounds are written down, and describe the same family.
    """

    min: float
    max: float

    def _ppf(self, u: float) -> float:
        low, high = math.log(self.min), math.log(self.max)
        return min(max(math.exp(low + u * (high - low)), self.min), self.max)

    def cdf(self, x: float) -> float:
        """The share of the logarithmic interval up to `x`."""
        if x <= self.min:
            return 0.0
        low, high = math.log(self.min), math.log(self.max)
        return _clip((math.log(x) - low) / (high - low))


@dataclass(frozen=True)
class Normal(Parameter):
    """`normal`: mean `mu`, standard deviation `sigma`."""

    mu: float = 0.0
    sigma: float = 1.0

    def _ppf(self, u: float) -> float:
        return self.mu + self.sigma * float(special.ndtri(_inside(u)))

    def cdf(self, x: float) -> float:
        """The normal distribution function."""
        return float(special.ndtr((x - self.mu) / self.sigma))

    def extremes(self) -> list[float]:
        """What 99.8 % of the draws lie between."""
        return [self._ppf(u) for u in _MOST]


@dataclass(frozen=True)
class LogNormal(Parameter):
    """`log_normal`: its logarithm is normal with mean `mu` and standard deviation `sigma`."""

    mu: float = 0.0
    sigma: float = 1.0

    def _ppf(self, u: float) -> float:
        return math.exp(self.mu + self.sigma * float(special.ndtri(_inside(u))))

    def cdf(self, x: float) -> float:
        """The normal distribution function of the logarithm."""
        return float(special.ndtr((math.log(x) - self.mu) / self.sigma)) if x > 0 else 0.0

    def extremes(self) -> list[float]:
        """What 99.8 % of the draws lie between."""
        return [self._ppf(u) for u in _MOST]


@dataclass(frozen=True)
class Beta(Parameter):
    """`beta`: from 0 to 1, shaped by `a` and `b`."""

    a: float = 1.0
    b: float = 1.0

    def _ppf(self, u: float) -> float:
        return float(special.betaincinv(self.a, self.b, _inside(u)))

    def cdf(self, x: float) -> float:
        """The regularised incomplete beta function."""
        return float(special.betainc(self.a, self.b, _clip(x)))


@dataclass(frozen=True)
class Quantised(Parameter):
    """The `q_` form of a continuous distribution: the multiple of `q` that is nearest to its value.

    As with W&B, a multiple may lie outside the bounds by up to half of `q`, and values are whole
    numbers only where `q` is written as one.
    """

    base: Parameter
    q: float

    def _ppf(self, u: float) -> float:
        return round(float(self.base.ppf(u)) / self.q) * self.q

    def cdf(self, x: float) -> float:
        """The probability of all multiples up to `x`."""
        # 0.15 / 0.05 is 2.9999999999999996
        multiple = math.floor(x / self.q + 1e-9)
        return self.base.cdf((multiple + 0.5) * self.q)

    def quantile(self, x: float) -> float:
        """Where the multiple itself lies in the continuous distribution."""
        return self.base.cdf(x)

    def extremes(self) -> list[float]:
        """The multiples nearest to those of the continuous distribution."""
        return [round(value / self.q) * self.q for value in self.base.extremes()]

    def grid(self) -> list[float] | None:
        """From `min` in steps of `q` where it is uniform, as W&B has it; else every multiple within reach."""
        steps, start = self._grid_steps(), self._grid_start()
        return None if steps is None else [start + step * self.q for step in steps]

    def grid_size(self) -> int | None:
        """How many values `grid` has; there can be millions."""
        steps = self._grid_steps()
        return None if steps is None else steps.stop - steps.start

    def list_values(self, most: int) -> list[float]:
        """The multiples that can be drawn, or `most` of them around the median."""
        multiples = self._reach()
        # one that nothing but a bound itself is rounded to is never drawn
        first = multiples.start + (self.base.cdf((multiples.start + 0.5) * self.q) <= 0)
        last = multiples.stop - 1 - (self.base.cdf((multiples.stop - 1.5) * self.q) >= 1)
        median = round(self.base.ppf(0.5) / self.q)
        start = max(min(median - most // 2, last + 1 - most), first)
        return [multiple * self.q for multiple in range(start, last + 1)[:most]]

    def _reach(self) -> range:
        """Of which multiples the values lie between the bounds, or as far out as a draw comes."""
        first, last = (round(self.base.ppf(u) / self.q) for u in (0, 1))
        return range(first, last + 1)

    def _grid_start(self) -> float:
        if not isinstance(self.base, Uniform):
            return 0
        return int(self.base.min) if isinstance(self.q, int) and self.base.min.is_integer() else self.base.min

    def _grid_steps(self) -> range | None:
        if isinstance(self.base, Uniform):
            return range(math.floor((self.base.max - self.base.min) / self.q + 1e-9) + 1)
        return self._reach() if isinstance(self.base, LogUniform | Beta) else None


def _index(u: float, count: int) -> int:
    """Which of `count` equal parts of 0..1 holds `u`; a bound belongs to the part below it."""
    # the tolerance is scipy's for discrete distributions: 0.3 * 10 must be 3, not 3.0000000000000004
    return min(max(math.ceil(u * count - 1e-9) - 1, 0), count - 1)


def _clip(share: float) -> float:
    return min(max(share, 0.0), 1.0)


def _inside(u: float) -> float:
    return min(max(u, _LEAST_U), 1 - _LEAST_U)
