"""Stand-ins for training: they report through real Ray Tune, in milliseconds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import wandb

from stt_tune.results.trials import TrialTable
from stt_tune.run.cluster import TrialResources
from stt_tune.run.folder import RunFolder
from stt_tune.run.reporting import report
from stt_tune.run.tracking import build_identity
from stt_tune.run.trainable import TrainFunction, TrainingTask, build_trainable
from stt_tune.run.trials import TrialPlan, run_trials
from stt_tune.sweep.config import SweepConfig

ONE_AT_A_TIME = TrialResources(cpus=1, gpus=0, max_concurrent=1)
TWO_AT_A_TIME = TrialResources(cpus=1, gpus=0, max_concurrent=2)
DEFAULT = {"learning_rate": 0.5, "epochs": 3}
SWEEP: dict[str, Any] = {
    "name": "synthetic",
    "method": "random",
    "parameters": {"learning_rate": {"min": 0.0, "max": 1.0}, "epochs": {"value": 3}},
}


def falling(config: dict[str, Any]) -> None:
    """Reports a WER that ends at the learning rate."""
    for epoch in range(1, config["epochs"] + 1):
        report(epoch=epoch, wer=config["learning_rate"] / epoch)


def yielding(config: dict[str, Any]) -> Iterator[dict[str, float]]:
    """As `falling`, in the way of a generator."""
    for epoch in range(1, config["epochs"] + 1):
        yield {"wer": config["learning_rate"] / epoch}


def returning(config: dict[str, Any]) -> dict[str, float]:
    """Says only how it ended."""
    return {"wer": config["learning_rate"] / config["epochs"]}


def wandb_agent() -> None:
    """As `falling`, in the way of W&B's own agent: it knows nothing of Ray or of this package."""
    wandb.init(project="somewhere-else", tags=["mine"], config={"learning_rate": 9.0, "note": "kept"})
    for epoch in range(wandb.config.epochs):
        wandb.log({"train_loss": 1.0})
        wandb.log({"epoch": epoch, "wer": wandb.config.learning_rate / (epoch + 1)})


def slow(config: dict[str, Any]) -> None:
    """As `falling`, half a second an epoch."""
    for epoch in range(1, config["epochs"] + 1):
        time.sleep(0.5)
        report(epoch=epoch, wer=config["learning_rate"] / epoch)


def troubled(config: dict[str, Any]) -> None:
    """Fails, diverges or is well, by the learning rate."""
    report(epoch=1, wer=config["learning_rate"])
    if config["learning_rate"] < 0.3:
        raise MemoryError("no room for the batch")
    if config["learning_rate"] > 0.7:
        report(epoch=2, wer=float("nan"), diverged=True)
        return
    report(epoch=2, wer=config["learning_rate"])


def run(
    folder: Path, train: TrainFunction, *, trials: int, table: TrialTable | None = None, **options: Any
) -> TrialTable:
    """Run the synthetic sweep, and give its table."""
    sweep = SweepConfig.from_dict({**SWEEP, **options.pop("change", {})})
    table = table or TrialTable(("wer",))
    identity = build_identity(
        options.pop("wandb_mode", "disabled"), folder=folder, project="stt-tune", group=sweep.name, tags=()
    )
    arguments: dict[str, Any] = {
        "seed": 0,
        "resources": ONE_AT_A_TIME,  # each worker takes long to start
        "scheduler": "asha",
        "default": DEFAULT,
        **options,
    }
    plan = TrialPlan(num_trials=trials, identity=identity, **arguments)
    folder.mkdir(parents=True, exist_ok=True)
    trainable = build_trainable(TrainingTask(train, sweep.metric.name, identity, str(Path.cwd())))
    run_trials(sweep, trainable, plan, folder=RunFolder(folder), table=table)
    return table
