"""Configurations inside configurations, and their flat form with dotted names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def nest(values: Mapping[tuple[str, ...], Any]) -> dict[str, Any]:
    """Build a nested mapping from values by their paths.

    >>> nest({("optimizer", "name"): "adamw", ("epochs",): 3})
    {'optimizer': {'name': 'adamw'}, 'epochs': 3}
    """
    nested: dict[str, Any] = {}
    for path, value in values.items():
        place = nested
        for key in path[:-1]:
            place = place.setdefault(key, {})
        place[path[-1]] = value
    return nested


def flatten(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """Give the values by dotted names; what is empty, or has keys that are no text, is a value.

    >>> flatten({"optimizer": {"name": "adamw"}, "epochs": 3})
    {'optimizer.name': 'adamw', 'epochs': 3}
    """
    flat: dict[str, Any] = {}
    for name, value in configuration.items():
        if isinstance(value, Mapping) and value and all(isinstance(key, str) for key in value):
            flat |= {f"{name}.{key}": each for key, each in flatten(value).items()}
        else:
            flat[name] = value
    return flat
