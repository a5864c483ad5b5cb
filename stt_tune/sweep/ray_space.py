"""A sweep's parameters as domains of Ray Tune's search spaces.

Where Ray has exactly the same distribution, it is Ray's own. Everywhere else it is `QuantileDomain`,
which draws through W&B's `ppf`. Ray's searchers know Ray's domains only; `OptunaSearch` is taught
this one when the module is imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optuna.distributions import BaseDistribution, FloatDistribution
from ray import tune
from ray.tune.search.optuna import OptunaSearch
from ray.tune.search.sample import BaseSampler, Domain
from ray.tune.utils import flatten_dict

from stt_tune.sweep.distributions import Categorical, Constant, IntUniform, LogUniform, Parameter, Uniform
from stt_tune.sweep.nesting import nest


class _Quantiles(BaseSampler):
    """Draws a quantile and looks its value up."""

    def __init__(self, parameter: Parameter) -> None:
        self.parameter = parameter

    def sample(self, domain: Domain, config: Any = None, size: int = 1, random_state: Any = None) -> Any:
        """Draw `size` values; one comes without a list, as Ray wants it."""
        # numpy's old generators want the size as dimensions, its new ones as size; both take none
        drawn = [self.parameter.ppf(float(random_state.random())) for _ in range(size)]
        return drawn[0] if size == 1 else drawn


class QuantileDomain(Domain):
    """Any of W&B's distributions, drawn through its `ppf`.

    Attributes:
        parameter: The distribution.
    """

    def __init__(self, parameter: Parameter) -> None:
        """Draw from `parameter`."""
        self.parameter = parameter
        self.set_sampler(_Quantiles(parameter))  # type: ignore[no-untyped-call]

    def is_valid(self, value: Any) -> bool:
        """Whether the distribution can give the value."""
        try:
            return bool(self.parameter.ppf(self.parameter.quantile(value)) == value)
        except (ValueError, TypeError):
            return False

    @property
    def domain_str(self) -> str:
        """The distribution, as Ray prints it."""
        return repr(self.parameter)


class _Space(dict[str, BaseDistribution]):
    """What Optuna searches; in the place of every `QuantileDomain`, a number from 0 to 1."""

    def __init__(self, distributions: Mapping[str, BaseDistribution], own: Mapping[str, Parameter]) -> None:
        super().__init__({**distributions, **{path: FloatDistribution(0.0, 1.0) for path in own}})
        self.own = own


def to_domain(parameter: Parameter) -> Any:
    """Give the parameter as Ray takes it: a constant as its value, everything else as a domain."""
    match parameter:
        case Constant(value):
            return value
        case Categorical(values, None):
            return tune.choice(list(values))
        case IntUniform(low, high):
            return tune.randint(low, high + 1)  # Ray leaves its upper bound out
        case Uniform(low, high):
            return tune.uniform(low, high)
        case LogUniform(low, high):
            return tune.loguniform(low, high)
    return QuantileDomain(parameter)


def to_grid_search(parameter: Parameter) -> Any:
    """Give the parameter's every value as Ray takes a grid's; a constant as its value."""
    if isinstance(parameter, Constant):
        return parameter.value
    return tune.grid_search(list(parameter.grid() or ()))


def _teach_optuna_search() -> None:
    """Let `OptunaSearch` take spaces that hold a `QuantileDomain`; all else goes Ray's own way."""
    convert, suggest, set_up = OptunaSearch.convert_search_space, OptunaSearch.suggest, OptunaSearch._setup_study

    def convert_with_quantiles(spec: dict[str, Any]) -> dict[str, BaseDistribution]:
        flat = flatten_dict(spec, prevent_delimiter=True)
        own = {path: each.parameter for path, each in flat.items() if isinstance(each, QuantileDomain)}
        others = nest({tuple(path.split("/")): each for path, each in flat.items() if path not in own})
        return _Space(convert(others), own)

    def set_up_with_quantiles(self: OptunaSearch, mode: Any) -> None:
        if isinstance(self._space, _Space):
            self._points_to_evaluate = [_place(point, self._space.own) for point in self._points_to_evaluate]
        set_up(self, mode)

    def suggest_values(self: OptunaSearch, trial_id: str) -> dict[str, Any] | None:
        suggested: dict[str, Any] | None = suggest(self, trial_id)
        if suggested is None or not isinstance(self._space, _Space):
            return suggested
        flat = flatten_dict(suggested)
        flat |= {path: parameter.ppf(flat[path]) for path, parameter in self._space.own.items()}
        return nest({tuple(path.split("/")): value for path, value in flat.items()})

    OptunaSearch.convert_search_space = staticmethod(convert_with_quantiles)  # type: ignore[method-assign]
    OptunaSearch._setup_study = set_up_with_quantiles  # type: ignore[method-assign]
    OptunaSearch.suggest = suggest_values  # type: ignore[method-assign]


def _place(point: dict[str, Any], own: Mapping[str, Parameter]) -> dict[str, Any]:
    """A point that is to be evaluated, given by values, as Optuna searches it."""
    return {name: own[name].quantile(value) if name in own else value for name, value in point.items()}


_teach_optuna_search()
