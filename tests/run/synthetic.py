"""Stand-ins for training: they report through real Ray Tune, in milliseconds."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ray import tune

from stt_tune.results.trials import TrialTable
from stt_tune.run.cluster import TrialResources
from stt_tune.run.folder import RunFolder
from stt_tune.run.sweep import TrainFunction, run_sweep
from stt_tune.sweep.config import SweepConfig

DEFAULT = {"learning_rate": 0.5, "epochs": 3}
SWEEP: dict[str, Any] = {
    "name": "synthetic",
    "method": "random",
    "parameters": {"learning_rate": {"min": 0.0, "max": 1.0}, "epochs": {"value": 3}},
}


def falling(config: dict[str, Any]) -> None:
    """Reports a WER that ends at the learning rate."""
    for epoch in range(1, config["epochs"] + 1):
        tune.report({"epoch": epoch, "wer": config["learning_rate"] / epoch})


def slow(config: dict[str, Any]) -> None:
    """As `falling`, half a second an epoch."""
    for epoch in range(1, config["epochs"] + 1):
        time.sleep(0.5)
        tune.report({"epoch": epoch, "wer": config["learning_rate"] / epoch})


def troubled(config: dict[str, Any]) -> None:
    """Fails, diverges or is well, by the learning rate."""
    tune.report({"epoch": 1, "wer": config["learning_rate"]})
    if config["learning_rate"] < 0.3:
        raise MemoryError("no room for the batch")
    if config["learning_rate"] > 0.7:
        tune.report({"epoch": 2, "wer": float("nan"), "diverged": True})
        return
    tune.report({"epoch": 2, "wer": config["learning_rate"]})


def run(
    folder: Path, train: TrainFunction, *, trials: int, table: TrialTable | None = None, **options: Any
) -> TrialTable:
    """Run the synthetic sweep, and give its table."""
    sweep = SweepConfig.from_dict({**SWEEP, **options.pop("change", {})})
    table = table or TrialTable(("wer",))
    arguments: dict[str, Any] = {
        "seed": 0,
        "resources": TrialResources(cpus=1, gpus=0, max_concurrent=2),
        "default": DEFAULT,
        "wandb_mode": "disabled",
        **options,
    }
    run_sweep(sweep, train, folder=RunFolder(folder), table=table, num_trials=trials, **arguments)
    return table
