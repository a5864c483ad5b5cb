"""Merge hyperparameters, and keep in mind where each comes from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

OPTIMAL, DEFAULT, EXPLICIT = "optimal_config", "default", "explicit"
_WARM_UPS = {"warmup_steps", "warmup_ratio"}  # either excludes the other


class MergedConfig(dict[str, Any]):
    """Hyperparameters by name, as any dict.

    Attributes:
        sources: Where each comes from, `optimal_config`, `default` or `explicit`, by name; nested ones with dots.
    """

    def __init__(self, values: Mapping[str, Any], sources: Mapping[str, str]) -> None:
        super().__init__(values)
        self.sources = dict(sources)


def merge_config(optimal: Mapping[str, Any], params: Mapping[str, Any], *, source: str = OPTIMAL) -> MergedConfig:
    """Merge as `{**optimal, **params}`, groups of parameters name by name: what `params` says wins.

    `warmup_steps` and `warmup_ratio` exclude each other: where `params` has one, the other one of `optimal` is left
    out, and out of `sources`.

    Args:
        optimal: What `load_config` gave.
        params: What the caller asks for explicitly.
        source: What `sources` calls the former.

    >>> merged = merge_config({"epochs": 5, "adam": {"beta1": 0.9, "beta2": 0.99}}, {"adam": {"beta2": 0.98}})
    >>> merged
    {'epochs': 5, 'adam': {'beta1': 0.9, 'beta2': 0.98}}
    >>> merged.sources
    {'epochs': 'optimal_config', 'adam.beta1': 'optimal_config', 'adam.beta2': 'explicit'}
    >>> merge_config({"epochs": 5, "warmup_ratio": 0.1}, {"warmup_steps": 50})
    {'epochs': 5, 'warmup_steps': 50}
    """
    if not _WARM_UPS.isdisjoint(params):
        optimal = {name: value for name, value in optimal.items() if name not in _WARM_UPS or name in params}
    merged: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for name in {**optimal, **params}:
        before, wanted = optimal.get(name), params.get(name)
        if name in optimal and name in params and isinstance(before, Mapping) and isinstance(wanted, Mapping):
            group = merge_config(before, wanted, source=source)
            merged[name] = dict(group)
            sources |= {f"{name}.{inner}": origin for inner, origin in group.sources.items()}
        else:
            merged[name] = wanted if name in params else before
            sources |= dict.fromkeys(_names(name, merged[name]), EXPLICIT if name in params else source)
    return MergedConfig(merged, sources)


def _names(name: str, value: Any) -> list[str]:
    if isinstance(value, Mapping) and value:
        return [f"{name}.{inner}" for key in value for inner in _names(key, value[key])]
    return [name]
