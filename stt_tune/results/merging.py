"""Merge hyperparameters, and keep in mind where each comes from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

OPTIMAL, EXPLICIT = "optimal_config", "explicit"


class MergedConfig(dict[str, Any]):
    """Hyperparameters by name, as any dict.

    Attributes:
        sources: Where each comes from, `optimal_config` or `explicit`, by name; nested ones with dots.
    """

    def __init__(self, values: Mapping[str, Any], sources: Mapping[str, str]) -> None:
        super().__init__(values)
        self.sources = dict(sources)


def merge_config(optimal: Mapping[str, Any], params: Mapping[str, Any]) -> MergedConfig:
    """Merge as `{**optimal, **params}`, groups of parameters name by name: what `params` says wins.

    Args:
        optimal: What `load_config` gave.
        params: What the caller asks for explicitly.

    >>> merged = merge_config({"epochs": 5, "adam": {"beta1": 0.9, "beta2": 0.99}}, {"adam": {"beta2": 0.98}})
    >>> merged
    {'epochs': 5, 'adam': {'beta1': 0.9, 'beta2': 0.98}}
    >>> merged.sources
    {'epochs': 'optimal_config', 'adam.beta1': 'optimal_config', 'adam.beta2': 'explicit'}
    """
    merged: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for name in {**optimal, **params}:
        before, wanted = optimal.get(name), params.get(name)
        if name in optimal and name in params and isinstance(before, Mapping) and isinstance(wanted, Mapping):
            group = merge_config(before, wanted)
            merged[name] = dict(group)
            sources |= {f"{name}.{inner}": source for inner, source in group.sources.items()}
        else:
            merged[name] = wanted if name in params else before
            sources |= dict.fromkeys(_names(name, merged[name]), EXPLICIT if name in params else OPTIMAL)
    return MergedConfig(merged, sources)


def _names(name: str, value: Any) -> list[str]:
    if isinstance(value, Mapping) and value:
        return [f"{name}.{inner}" for key in value for inner in _names(key, value[key])]
    return [name]
