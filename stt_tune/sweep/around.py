"""A small sweep around a configuration that is known to be good."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stt_tune.sweep.config import SweepConfig

_FACTOR = 2.0
_EPOCHS = 2
_WARMUP = 0.1
_MOST_WARMUP = 0.5


def build_sweep_around(configuration: Mapping[str, Any], name: str = "retune") -> SweepConfig:
    """Make a Bayesian sweep of what decides most, around a configuration; all else stays as it is.

    Args:
        configuration: `learning_rate` is searched from its half to its double, `batch_size` likewise,
            `epochs` two to either side, `warmup_ratio` 0.1 to either side.
        name: Of the sweep.
    """
    rate, batch, epochs = (configuration[each] for each in ("learning_rate", "batch_size", "epochs"))
    parameters: dict[str, Any] = {
        "learning_rate": {"distribution": "log_uniform_values", "min": rate / _FACTOR, "max": rate * _FACTOR},
        "batch_size": {"values": sorted({max(batch // 2, 1), batch, 2 * batch})},
        "epochs": {"distribution": "int_uniform", "min": max(epochs - _EPOCHS, 1), "max": epochs + _EPOCHS},
    }
    if "warmup_ratio" in configuration:
        ratio = configuration["warmup_ratio"]
        bounds = {"min": max(ratio - _WARMUP, 0.0), "max": max(min(ratio + _WARMUP, _MOST_WARMUP), ratio)}
        parameters["warmup_ratio"] = {"distribution": "uniform", **bounds}
    return SweepConfig.from_dict(
        {
            "name": name,
            "method": "bayes",
            "metric": {"name": "wer", "goal": "minimize"},
            "parameters": parameters,
        }
    )
