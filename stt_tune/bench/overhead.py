"""What a sweep costs beyond its trainings: trials that do nothing, timed."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from stt_tune.errors import SettingsError
from stt_tune.run.cluster import connect
from stt_tune.run.nodes import find_nodes
from stt_tune.run.reporting import report
from stt_tune.run.sweep import run_sweep

_SWEEP = {
    "name": "overhead",
    "method": "random",
    "metric": {"name": "wer"},
    "parameters": {"learning_rate": {"distribution": "log_uniform_values", "min": 1e-6, "max": 1e-3}},
}


def bench_overhead(trials: int, wandb_trials: int) -> dict[str, Any]:
    """Time two sweeps over a training that does nothing, once a local Ray has started.

    Each counts all that a user waits for, from the start of its first worker to its finished table.

    Args:
        trials: Of the sweep without W&B.
        wandb_trials: Of the sweep that writes an offline run for each.

    Raises:
        SettingsError: One of them is less than 1.
    """
    for name, count in (("--trials", trials), ("--wandb-trials", wandb_trials)):
        if count < 1:
            raise SettingsError(f"{name} must be at least 1, found {count}.")
    with connect(None):
        cores = int(sum(node.cpus for node in find_nodes()))
        plain_s = _time(trials, cores, "disabled")
        wandb_s = _time(wandb_trials, cores, "offline")
    return {
        "seconds_per_trial": plain_s / trials,
        "seconds_per_trial_wandb": wandb_s / wandb_trials,
        "trials": trials,
        "wandb_trials": wandb_trials,
        "seconds": plain_s,
        "seconds_wandb": wandb_s,
        "cores": cores,
    }


def _time(trials: int, cores: int, wandb: str) -> float:
    """Run a sweep, a trial a core at a time; give its seconds."""
    with tempfile.TemporaryDirectory(prefix="stt_tune-") as folder:
        begun = time.monotonic()
        run_sweep(
            _SWEEP,
            _do_nothing,
            num_trials=trials,
            storage_path=Path(folder, "run"),
            max_concurrent_trials=cores,
            resources_per_trial={"cpu": 1},
            wandb_mode=wandb,
        )
        return time.monotonic() - begun


def _do_nothing(config: dict[str, Any]) -> None:
    report(epoch=1, wer=config["learning_rate"])
