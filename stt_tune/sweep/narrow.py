"""Narrow a sweep around the configurations that did best in it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from stt_tune.errors import SettingsError
from stt_tune.sweep.config import SweepConfig
from stt_tune.sweep.distributions import (
    Categorical,
    Constant,
    IntUniform,
    LogNormal,
    LogUniform,
    Parameter,
    Quantised,
    Uniform,
)
from stt_tune.sweep.numerals import is_number
from stt_tune.sweep.observation import Configuration

_MARGIN = 0.1  # of a parameter's range, to either side of the best trials; of whole numbers at least one
_OWN = ("run_cap", "name", "method", "metric", "parameters")


def narrow_sweep(
    sweep: SweepConfig,
    best: Sequence[Configuration],
    *,
    expand: bool = False,
    allows: Callable[[str, Any], bool] = lambda _name, _value: True,
) -> SweepConfig:
    """Make a Bayesian sweep over what lies around some configurations; its `frame` is what they come from.

    Each parameter keeps the range of those configurations and a tenth of its own range to either side,
    in the scale of its distribution; without `expand` no more than it had. Numbers to choose from
    are kept where they lie in that range, other choices where one of the configurations has them.
    What was unbounded is bounded then. Without configurations everything stays as it is.

    Args:
        sweep: What was searched.
        best: Configurations that did well; nested as the sweep is.
        expand: Whether a range may leave its bounds, and a choice have what one of the configurations has.
        allows: Whether a parameter, by its dotted name, may have a value beyond them.

    Raises:
        SettingsError: Nothing is left to search, as the configurations agree in all choices that there are.
    """
    frame = sweep.origin
    flat = [frame.flatten(each) for each in best]
    narrowed: dict[str, Parameter] = {}
    widened: dict[str, Parameter] = {}
    for name, parameter in frame.parameters.items():
        values = [each[name] for each in flat if name in each]
        if isinstance(parameter, Constant) or not values:
            continue
        if isinstance(parameter, Categorical):
            listed = parameter.grid()
            new = [each for each in dict.fromkeys(values) if each not in listed and expand and allows(name, each)]
            narrowed[name] = _choose([*listed, *new], values)
            if new:
                widened[name] = Categorical((*listed, *new))
            continue
        places = [_place(parameter, value) for value in values]
        margin = max(_MARGIN, 1 / len(parameter.grid())) if isinstance(parameter, IntUniform) else _MARGIN
        low, high = (
            u if expand and _is_bounded(parameter) and allows(name, _value(parameter, u)) else min(max(u, 0.0), 1.0)
            for u in (min(places) - margin, max(places) + margin)
        )
        narrowed[name] = _part(parameter, low, high)
        if low < 0 or high > 1:
            widened[name] = _part(parameter, min(low, 0.0), max(high, 1.0))
    _check_varies(frame, narrowed)
    refined = _change(frame, f"{frame.name}-refined", narrowed)
    return replace(refined, frame=_change(frame, frame.name, widened), default=sweep.default)


def find_outside(sweep: SweepConfig, configuration: Configuration) -> list[str]:
    """The parameters, by their dotted names, whose value in a configuration the sweep cannot propose."""
    flat = sweep.flatten(configuration)
    return [name for name, parameter in sweep.parameters.items() if name in flat and not _holds(parameter, flat[name])]


def _check_varies(frame: SweepConfig, narrowed: Mapping[str, Parameter]) -> None:
    specs = {name: _spec_of(each) for name, each in narrowed.items()}
    varying = [name for name, each in frame.parameters.items() if not isinstance(each, Constant)]
    if all("value" in specs.get(name, ()) for name in varying):
        found = ", ".join(f"{name}={specs[name]['value']!r}" for name in varying) or "nothing does"
        raise SettingsError(
            f"{frame.name}: the best trials must leave something to search around them, and agree in all that varies "
            f"({found}). Go on in the whole space, by `stt-tune resume RUN_DIR --trials N` with a greater N, or tune a "
            "sweep that has more to choose from."
        )


def _holds(parameter: Parameter, value: Any) -> bool:
    if isinstance(parameter, Constant | Categorical):
        return value in parameter.grid()
    least, *_between, most = sorted(parameter.extremes())
    return bool(least <= value <= most or math.isclose(value, least) or math.isclose(value, most))


def _choose(listed: Sequence[Any], values: Sequence[Any]) -> Categorical:
    """What is left of a choice."""
    if not all(map(is_number, [*listed, *values])):
        return Categorical(tuple(each for each in listed if each in values) or tuple(listed))
    listed = sorted(listed)
    margin = max(round(_MARGIN * len(listed)), 1)
    first = sum(each < min(values) for each in listed) - margin
    last = sum(each <= max(values) for each in listed) + margin
    return Categorical(tuple(listed[max(first, 0) : last]))


def _is_bounded(parameter: Parameter) -> bool:
    base = parameter.base if isinstance(parameter, Quantised) else parameter
    return isinstance(base, IntUniform | Uniform | LogUniform)


def _place(parameter: Parameter, value: float) -> float:
    """Where a value lies between the bounds, in the parameter's own scale; beyond them outside 0 to 1."""
    match parameter:
        case IntUniform(low, high):
            return (value - low + 0.5) / (high - low + 1)
        case Uniform(low, high):
            return (value - low) / (high - low)
        case LogUniform(low, high) if value > 0:
            return math.log(value / low) / math.log(high / low)
        case Quantised(base, _q):
            return _place(base, value)
    return parameter.quantile(value)


def _value(parameter: Parameter, u: float) -> float:
    """What lies at such a place."""
    match parameter:
        case IntUniform(low, high):
            place = low + u * (high - low + 1)
            return math.floor(place) if u < 1 else math.ceil(place) - 1
        case Uniform(low, high):
            return low + u * (high - low)
        case LogUniform(low, high):
            return low * math.exp(u * math.log(high / low))
        case Quantised(base, q):
            return round(_value(base, u) / q) * q
    least, most = parameter.extremes()
    return float(min(max(parameter.ppf(u), least), most))


def _part(parameter: Parameter, low: float, high: float) -> Parameter:
    """A distribution between two places."""
    if isinstance(parameter, Quantised):
        base, q = _part(parameter.base, low, high), parameter.q
        if isinstance(base, Uniform):
            base = Uniform(round(base.min / q) * q, round(base.max / q) * q)
        return Quantised(base, q)
    least, most = _value(parameter, low), _value(parameter, high)
    if isinstance(parameter, IntUniform):
        return IntUniform(int(least), int(most))
    return LogUniform(least, most) if isinstance(parameter, LogUniform | LogNormal) else Uniform(least, most)


def _change(sweep: SweepConfig, name: str, parameters: Mapping[str, Parameter]) -> SweepConfig:
    """The sweep with other distributions of some parameters, searched by `bayes` without a limit of its own."""
    document = sweep.to_dict()
    for dotted, parameter in parameters.items():
        *path, last = sweep.paths[dotted]
        section = document["parameters"]
        for key in path:
            section = section[key]["parameters"]
        section[last] = _spec_of(parameter)
    metric = {"name": sweep.metric.name, "goal": sweep.metric.goal, **document.get("metric", {})}
    metric.pop("target", None)  # the trials that it begins with may have reached it
    rest = {key: value for key, value in document.items() if key not in _OWN}
    return SweepConfig.from_dict(
        {"name": name, "method": "bayes", "metric": metric, "parameters": document["parameters"], **rest}
    )


def _spec_of(parameter: Parameter) -> dict[str, Any]:
    """A bounded distribution as a sweep file has it."""
    match parameter:
        case Categorical(values):
            return {"values": list(values)} if len(values) > 1 else {"value": values[0]}
        case IntUniform(low, high):
            return _between("int_uniform", low, high)
        case Uniform(low, high):
            return _between("uniform", low, high)
        case LogUniform(low, high):
            return _between("log_uniform_values", low, high)
        case Quantised(base, q):
            spec = _spec_of(base)
            return {**spec, "distribution": f"q_{spec['distribution']}", "q": q} if "distribution" in spec else spec
    raise TypeError(f"no bounds of {parameter!r}")


def _between(distribution: str, low: float, high: float) -> dict[str, Any]:
    return {"distribution": distribution, "min": low, "max": high} if low < high else {"value": low}
