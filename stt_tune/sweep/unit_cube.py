"""A sweep's parameters as axes from 0 to 1, on which a model can search."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from stt_tune.sweep.config import SweepConfig
from stt_tune.sweep.distributions import Categorical, Constant, IntUniform, Parameter
from stt_tune.sweep.gaussian_process import Array
from stt_tune.sweep.numerals import is_number

_MOST_LEVELS = 1000  # are laid out; of more, each is looked up


class UnitCube:
    """One axis a parameter that varies.

    Real numbers lie where their distribution has them; whole numbers and numbers to choose from lie
    at the middles of equal parts, in order. Other choices have parts, too, and no order: `features`
    gives each a column of its own.

    Attributes:
        size: How many axes there are.
        is_countable: Whether there is no axis of real numbers.
    """

    def __init__(self, sweep: SweepConfig, within: SweepConfig | None = None) -> None:
        """Lay out the parameters of `sweep`; points are snapped to what `within` leaves of their values."""
        self._sweep = sweep
        self._axes = {name: _axis(each) for name, each in sweep.parameters.items() if not isinstance(each, Constant)}
        self.size = len(self._axes)
        if within is not None:
            for name, axis in self._axes.items():
                axis.restrict(within.parameters[name])
        self.is_countable = not any(axis.is_real for axis in self._axes.values())

    def place(self, configuration: Mapping[str, Any]) -> Array | None:
        """Where a configuration lies, `[d]`; None if it has a choice that has no place."""
        flat = self._sweep.flatten(configuration)
        try:
            return np.array([axis.place(flat[name]) for name, axis in self._axes.items()])
        except (KeyError, ValueError, TypeError):
            return None  # the default configuration may lie outside

    def configuration(self, point: Array) -> dict[str, Any]:
        """What lies at a point, `[d]`; nested as the sweep is."""
        drawn = {name: axis.value(float(u)) for (name, axis), u in zip(self._axes.items(), point, strict=True)}
        constant = {name: each.value for name, each in self._sweep.parameters.items() if isinstance(each, Constant)}
        flat = {**drawn, **constant}
        return self._sweep.nest({name: flat[name] for name in self._sweep.parameters})

    def spread(self, points: Array) -> Array:
        """Points, `[n, d]`, of a unit cube, in what there is to choose from."""
        low, high = self._bounds()
        return self.snap(low + points * (high - low))

    def snap(self, points: Array) -> Array:
        """The nearest points, `[n, d]`, that can be chosen; what lies beyond a bound comes back from it."""
        low, high = self._bounds()
        width = np.where(high > low, high - low, 1.0)
        inside = low + (1 - np.abs(1 - np.abs((points - low) / width) % 2)) * (high - low)
        return np.column_stack([axis.snap(u) for axis, u in zip(self._axes.values(), inside.T, strict=True)])

    def list_points(self, most: int) -> Array:
        """The points, `[n, d]`, that can be chosen, or `most` of them; none where there are real numbers to choose."""
        places = [axis.list_places(most) for axis in self._axes.values()]
        points = itertools.islice(itertools.product(*places), most)
        return np.array(list(points)).reshape(-1, self.size)

    def _bounds(self) -> tuple[Array, Array]:
        axes = self._axes.values()
        return np.array([axis.low for axis in axes]), np.array([axis.high for axis in axes])

    def features(self, points: Array) -> Array:
        """Points, `[n, d]`, as a model sees them, `[n, >= d]`."""
        columns = [axis.features(u) for axis, u in zip(self._axes.values(), points.T, strict=True)]
        return np.concatenate(columns, axis=1)


class _Axis:
    """Real numbers, or the multiples of a step.

    Attributes:
        parameter: What places are measured by.
        low: The least coordinate to choose; `high` the greatest.
        is_real: Whether there are no gaps between the values.
        levels: Those between, where they can be counted and are not too many.
    """

    def __init__(self, parameter: Parameter) -> None:
        self.parameter = parameter
        self._choose_from(parameter, 0.0, 1.0)

    def restrict(self, parameter: Parameter) -> None:
        """Choose only what `parameter` has, too."""
        ends = [self.place(value) for value in parameter.extremes()]
        self._choose_from(parameter, min(ends), max(ends))

    def _choose_from(self, parameter: Parameter, low: float, high: float) -> None:
        self._chosen, self.low, self.high = parameter, low, high
        values = parameter.list_values(_MOST_LEVELS + 1)
        self.is_real = values is None
        is_short = values is not None and len(values) <= _MOST_LEVELS
        self.levels = np.array(self.list_places(_MOST_LEVELS)) if is_short else None

    def list_places(self, most: int) -> list[float]:
        """The coordinates to choose from, or `most` of them; none of real numbers."""
        places = {self.place(value) for value in self._chosen.list_values(most) or ()}
        return sorted(place for place in places if self.low <= place <= self.high)

    def place(self, value: Any) -> float:
        return self.parameter.quantile(value)

    def value(self, u: float) -> Any:
        return self.parameter.ppf(u)

    def snap(self, u: Array) -> Array:
        if self.is_real:
            return u
        if self.levels is None:
            return np.array([self.place(self.value(each)) for each in u.tolist()])
        nearest: Array = self.levels[np.abs(u[:, None] - self.levels).argmin(axis=1)]
        return nearest

    def features(self, u: Array) -> Array:
        return u[:, None]


class _Whole(_Axis):
    """Whole numbers."""

    def __init__(self, parameter: IntUniform) -> None:
        self.first, self.count = parameter.min, parameter.max - parameter.min + 1
        super().__init__(parameter)

    def place(self, value: Any) -> float:
        return float(min(max((value - self.first + 0.5) / self.count, 0.0), 1.0))


class _Ordered(_Axis):
    """Numbers to choose from."""

    def __init__(self, parameter: Categorical) -> None:
        self.values = sorted(parameter.grid())
        super().__init__(parameter)

    def place(self, value: Any) -> float:
        if not is_number(value):
            raise ValueError(f"must be a number, found {value!r}")
        # one that is not in the list lies between its neighbours
        rank = np.interp(value, self.values, range(len(self.values)))
        return float(rank + 0.5) / len(self.values)

    def value(self, u: float) -> Any:
        return self.values[min(int(u * len(self.values)), len(self.values) - 1)]


class _Nominal(_Axis):
    """Choices without an order."""

    def __init__(self, parameter: Categorical) -> None:
        self.values = parameter.grid()
        self.listed = Categorical(tuple(self.values))
        super().__init__(parameter)

    def place(self, value: Any) -> float:
        return (self.listed.position(value) + 0.5) / len(self.values)

    def value(self, u: float) -> Any:
        return self.values[min(int(u * len(self.values)), len(self.values) - 1)]

    def features(self, u: Array) -> Array:
        chosen = np.minimum((u * len(self.values)).astype(int), len(self.values) - 1)
        # two choices are 1 apart
        columns: Array = np.eye(len(self.values))[chosen] / math.sqrt(2)
        return columns


def _axis(parameter: Parameter) -> _Axis:
    if isinstance(parameter, IntUniform):
        return _Whole(parameter)
    if isinstance(parameter, Categorical):
        return _Ordered(parameter) if all(map(is_number, parameter.grid())) else _Nominal(parameter)
    return _Axis(parameter)
