"""A sweep in seconds, over a training that is made up: to show how sweeps work."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import wandb

from stt_tune.sweep.config import SweepConfig

if TYPE_CHECKING:
    from stt_tune.run.sweep import SweepResult

_BEST_LEARNING_RATE = 6e-5
_EPOCH_S = 0.1


def mock_train() -> None:
    """Make up a training, as a W&B agent function: nothing in it knows of Ray or of `stt_tune`.

    Its word error rate falls from epoch to epoch, lowest at a learning rate of 6e-5, and rises with
    dropout, as it does with Whisper.
    """
    with wandb.init() as run:
        config = run.config
        decades = math.log10(config["learning_rate"] / _BEST_LEARNING_RATE)
        effective_batch = config["batch_size"] * config["gradient_accumulation_steps"]
        reached = 0.08 + 0.1 * decades**2 + 1.5 * config["dropout"] + 0.02 * abs(math.log2(effective_batch / 16))
        for epoch in range(1, config["epochs"] + 1):
            time.sleep(_EPOCH_S)
            run.log({"epoch": epoch, "wer": reached + 0.4 * math.exp(-epoch / 2), "train_loss": 2 / epoch})


def run_mock(out: str, *, trials: int, seed: int) -> SweepResult:
    """Run a Bayesian sweep over `mock_train`, with Whisper tiny's preset.

    Args:
        out: The run folder, a path or a URL.
        trials: How many.
        seed: Of the configurations.

    Raises:
        SttTuneError: The folder holds a run already, or the sweep was interrupted.
    """
    from stt_tune.run.sweep import run_sweep

    sweep = SweepConfig.create_finetuning_sweep(method="bayes", num_trials=trials, model="whisper-tiny")
    return run_sweep(sweep, mock_train, seed=seed, storage_path=out, max_concurrent_trials=2)
