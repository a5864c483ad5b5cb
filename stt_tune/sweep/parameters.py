"""Read the entries of a sweep's `parameters`: which distribution each is, and whether it can hold."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from stt_tune.sweep.distributions import (
    Beta,
    Categorical,
    Constant,
    IntUniform,
    LogNormal,
    LogUniform,
    Normal,
    Parameter,
    Quantised,
    Uniform,
)
from stt_tune.sweep.numerals import is_number
from stt_tune.sweep.plain import PLAIN, find_odd, fits

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_OF_EXPONENTS = ("log_uniform", "q_log_uniform")
_LEAST_LOG, _GREATEST_LOG = -700, 700  # what exp gives a finite, nonzero number for


@dataclass(frozen=True)
class _Schema:
    """The keys of a distribution, and what makes it of them; it may still raise ValueError."""

    required: tuple[str, ...]
    build: Callable[[Mapping[str, Any]], Parameter]
    optional: Mapping[str, Any] = field(default_factory=dict)


def parse_parameters(spec: Any, problems: list[str], where: str = "parameters") -> dict[tuple[str, ...], Parameter]:
    """Read a sweep's `parameters`; nested ones have longer paths.

    Args:
        spec: The section.
        problems: Gets what cannot be read, one line a problem.
        where: What messages call the section.

    Returns:
        What can be read.
    """
    if not isinstance(spec, Mapping) or not spec:
        problems.append(f"{where}: must be a mapping of at least one parameter, found {spec!r}.")
        return {}
    parsed: dict[tuple[str, ...], Parameter] = {}
    for name, entry in spec.items():
        place = f"{where}.{name}"
        try:
            if not isinstance(name, str) or not _NAME.fullmatch(name):
                raise ValueError(f"{place}: a name must be letters, digits, _ . - and not begin with a digit.")
            if isinstance(entry, Mapping) and "parameters" in entry:
                others = [key for key in entry if key != "parameters"]
                if others:
                    raise ValueError(f"{place}: nested parameters stand alone, found {', '.join(others)} beside them.")
                nested = parse_parameters(entry["parameters"], problems, f"{place}.parameters")
                parsed |= {(name, *path): each for path, each in nested.items()}
            else:
                parsed[name,] = parse_parameter(entry, place)
        except ValueError as error:
            problems.extend(str(error).splitlines())
    return parsed


def parse_parameter(spec: Any, where: str = "parameter") -> Parameter:
    """Read one parameter.

    Without a `distribution` it is inferred as W&B infers it: `value` is a constant, `values` a
    choice (weighted with `probabilities`), `min` and `max` are whole numbers (`int_uniform`) or
    real ones (`uniform`).

    Raises:
        ValueError: The entry cannot be read; the message holds all its problems, one a line.
    """
    if not isinstance(spec, Mapping):
        key = "values" if isinstance(spec, list) else "value"
        raise ValueError(f"{where}: must be a mapping, such as {{{key}: {spec!r}}}, found {spec!r}.")
    distribution = spec.get("distribution") or _infer(spec)
    if distribution is None:
        found = ", ".join(map(str, spec)) or "nothing"
        raise ValueError(f"{where}: must have value, values, min and max, or a distribution; found {found}.")
    if not isinstance(distribution, str) or distribution not in _SCHEMAS:
        known = ", ".join(_SCHEMAS)
        raise ValueError(f"{where}.distribution: must be one of {known}; found {distribution!r}.")
    schema = _SCHEMAS[distribution]
    keys = (*schema.required, *schema.optional)
    unknown = [
        f"{where}.{key}: {distribution} knows no such key{_advise(key, distribution)}."
        for key in spec
        if key not in (*keys, "distribution")
    ]
    filled = {**schema.optional, **spec}
    problems = [
        f"{where}.{key}: {distribution} needs it, and it is missing." for key in schema.required if key not in spec
    ]
    problems += [f"{where}.{key}: {wrong}." for key in keys if key in filled and (wrong := _judge(key, filled[key]))]
    parameter = None
    if not problems:  # what is known can be told even where there are keys that are not
        try:
            parameter = schema.build(filled)
        except ValueError as error:
            problems = [f"{where}{line}" for line in str(error).splitlines()]
    if parameter is None or unknown:
        raise ValueError("\n".join([*unknown, *problems]))
    return parameter


def find_hints(spec: Mapping[str, Any], where: str = "parameters") -> Iterator[str]:
    """Say which entries can be read and hardly mean what they say, one line each."""
    for name, entry in spec.items():
        if "parameters" in entry:
            yield from find_hints(entry["parameters"], f"{where}.{name}.parameters")
        elif entry.get("distribution") in _OF_EXPONENTS and 0 < entry["min"] < entry["max"] < 1:
            distribution, low, high = entry["distribution"], math.exp(entry["min"]), math.exp(entry["max"])
            yield (
                f"{where}.{name}: {distribution} takes exponents of e, so these bounds stand for {low:.4g} to "
                f"{high:.4g}. If they are meant as values: {distribution}_values."
            )


def _infer(spec: Mapping[str, Any]) -> str | None:
    if "value" in spec:
        return "constant"
    if "values" in spec:
        return "categorical_w_probabilities" if "probabilities" in spec else "categorical"
    if "min" in spec and "max" in spec:
        whole = all(isinstance(spec[key], int) and not isinstance(spec[key], bool) for key in ("min", "max"))
        return "int_uniform" if whole else "uniform"
    return None


def _judge(key: str, value: Any) -> str:
    """Say what is wrong with a key's value by itself; empty: nothing."""
    if key == "probabilities":
        return ""
    if key not in ("value", "values"):
        return "" if is_number(value) else f"must be a finite number, found {value!r}"
    odd = next(find_odd(value), None)
    return f"must be of {PLAIN}, found {odd}. Put it in quotes, if it is meant as text" if odd else ""


def _advise(key: str, distribution: str) -> str:
    if key == "q" and f"q_{distribution}" in _SCHEMAS:
        return f"; q_{distribution} does"
    if key == "probabilities":
        return "; categorical_w_probabilities does"
    return ". Remove it"


def _choice(spec: Mapping[str, Any]) -> Categorical:
    values = spec["values"]
    if not isinstance(values, list | tuple) or not values:
        raise ValueError(f".values: must be a list of at least one value, found {values!r}.")
    return Categorical(tuple(values))


def _weighted_choice(spec: Mapping[str, Any]) -> Parameter:
    choice, probabilities = _choice(spec), spec["probabilities"]
    count = len(spec["values"])
    if not isinstance(probabilities, list | tuple) or len(probabilities) != count:
        raise ValueError(f".probabilities: must be a list of {count}, one for each value, found {probabilities!r}.")
    if not all(is_number(each) and each >= 0 for each in probabilities):
        raise ValueError(f".probabilities: must be numbers of at least 0, found {probabilities!r}.")
    if not math.isclose(sum(probabilities), 1, rel_tol=1e-5):
        raise ValueError(f".probabilities: must sum to 1, found {sum(probabilities):g}.")
    return Categorical(choice.values, tuple(map(float, probabilities)))


def _int_uniform(spec: Mapping[str, Any]) -> Parameter:
    low, high = _ordered(spec)
    if not (low.is_integer() and high.is_integer()):
        raise ValueError(f": min and max must be whole numbers for int_uniform, found {low:g} and {high:g}.")
    least, most = int(spec["min"]), int(spec["max"])
    if not (fits(least) and fits(most)):
        raise ValueError(f": min and max must have at most 64 bits for int_uniform, found {low:g} and {high:g}.")
    return IntUniform(least, most)


def _uniform(spec: Mapping[str, Any]) -> Parameter:
    return Uniform(*_ordered(spec))


def _log_uniform_values(spec: Mapping[str, Any]) -> Parameter:
    low, high = _ordered(spec)
    if low <= 0:
        raise ValueError(f".min: must be above 0 where the logarithm is uniform, found {low:g}.")
    return LogUniform(low, high)


def _log_uniform(spec: Mapping[str, Any]) -> Parameter:
    low, high = _exponents(spec)
    return LogUniform(math.exp(low), math.exp(high))


def _inv_log_uniform(spec: Mapping[str, Any]) -> Parameter:
    low, high = _exponents(spec)
    return LogUniform(math.exp(-high), math.exp(-low))


def _exponents(spec: Mapping[str, Any]) -> tuple[float, float]:
    low, high = _ordered(spec)
    if low < _LEAST_LOG or high > _GREATEST_LOG:
        raise ValueError(
            f": min and max are exponents of e here and must lie from {_LEAST_LOG} to {_GREATEST_LOG}, found {low:g} "
            f"and {high:g}. For bounds that are values there is the distribution with _values."
        )
    return low, high


def _normal(spec: Mapping[str, Any]) -> Parameter:
    return Normal(float(spec["mu"]), _positive(spec, "sigma"))


def _log_normal(spec: Mapping[str, Any]) -> Parameter:
    mu, sigma = float(spec["mu"]), _positive(spec, "sigma")
    # draws come as close as 8.3 standard deviations to the ends
    if abs(mu) + 8.3 * sigma > _GREATEST_LOG:
        raise ValueError(
            f": mu and sigma are of the logarithm; mu={mu:g}, sigma={sigma:g} give numbers without a finite value."
        )
    return LogNormal(mu, sigma)


def _beta(spec: Mapping[str, Any]) -> Parameter:
    return Beta(_positive(spec, "a"), _positive(spec, "b"))


def _positive(spec: Mapping[str, Any], key: str) -> float:
    if spec[key] <= 0:
        raise ValueError(f".{key}: must be above 0, found {spec[key]:g}.")
    return float(spec[key])


def _ordered(spec: Mapping[str, Any]) -> tuple[float, float]:
    low, high = float(spec["min"]), float(spec["max"])
    if not low < high:
        raise ValueError(f": min < max must hold, but min={low:g}, max={high:g}. Swap or widen the bounds.")
    return low, high


_BOUNDS = ("min", "max")
_MOMENTS = {"mu": 0.0, "sigma": 1.0}
_CONTINUOUS = {
    "uniform": _Schema(_BOUNDS, _uniform),
    "log_uniform": _Schema(_BOUNDS, _log_uniform),
    "log_uniform_values": _Schema(_BOUNDS, _log_uniform_values),
    "normal": _Schema((), _normal, _MOMENTS),
    "log_normal": _Schema((), _log_normal, _MOMENTS),
    "beta": _Schema((), _beta, {"a": 1.0, "b": 1.0}),
}


def _quantised(schema: _Schema) -> _Schema:
    def build(spec: Mapping[str, Any]) -> Parameter:
        q_problem = "" if spec["q"] > 0 else f".q: must be above 0, found {spec['q']:g}."
        try:
            continuous = schema.build(spec)
        except ValueError as error:
            raise ValueError(f"{error}\n{q_problem}".strip()) from None
        q_problem = q_problem or _find_unreachable(continuous, spec["q"])
        if q_problem:
            raise ValueError(q_problem)
        return Quantised(continuous, spec["q"])

    return _Schema(schema.required, build, {**schema.optional, "q": 1.0})


def _find_unreachable(continuous: Parameter, q: float) -> str:
    """Say whether there are multiples that no number holds; empty: there are none."""
    farthest = max(abs(continuous.ppf(u)) for u in (0, 1))
    if not math.isfinite(farthest / q):
        return f".q: must be larger: values reach {farthest:g}, and that is more of {q:g} than can be counted."
    if isinstance(q, int) and not fits(round(farthest / q) * q):
        return f".q: must be written as {float(q)}: whole multiples must have at most 64 bits, and reach {farthest:g}."
    return ""


_SCHEMAS = {
    "constant": _Schema(("value",), lambda spec: Constant(spec["value"])),
    "categorical": _Schema(("values",), _choice),
    "categorical_w_probabilities": _Schema(("values", "probabilities"), _weighted_choice),
    "int_uniform": _Schema(_BOUNDS, _int_uniform),
    **_CONTINUOUS,
    "inv_log_uniform": _Schema(_BOUNDS, _inv_log_uniform),
    "inv_log_uniform_values": _Schema(_BOUNDS, _log_uniform_values),
    **{f"q_{name}": _quantised(schema) for name, schema in _CONTINUOUS.items()},
}
