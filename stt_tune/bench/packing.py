"""How many more runs an hour a GPU gives when several trials share it."""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import Any

from stt_tune.bench.made_up import check_asked, make_data, make_model
from stt_tune.errors import SettingsError
from stt_tune.progress import say
from stt_tune.run.cluster import connect, find_resources
from stt_tune.run.packing import find_trials_per_gpu
from stt_tune.run.speech_trial import SpeechTask, build_train
from stt_tune.run.sweep import run_sweep
from stt_tune.speech.finetune import TrainingSettings
from stt_tune.sweep.config import SweepConfig

_SWEEP = {
    "name": "packing",
    "method": "random",
    "metric": {"name": "wer"},
    "parameters": {
        "learning_rate": {"distribution": "log_uniform_values", "min": 1e-6, "max": 1e-5},
        "batch_size": {"value": 16},
        "epochs": {"value": 4},
    },
}


def bench_packing(model: str, context_s: float, utterances: int, rounds: int, seed: int) -> dict[str, Any]:
    """Run trials one at a time, and then as many at a time as `--trials-per-gpu auto` finds.

    Args:
        model: One of `ARCHITECTURES`.
        context_s: Length of the clips, in seconds.
        utterances: Of a trial's training.
        rounds: Trials of each worker; the first of each is not counted, in which it starts.
        seed: Of everything.

    Returns:
        `trials_per_gpu`, `runs_per_hour_alone`, `runs_per_hour_packed` and `gain`.

    Raises:
        SettingsError: Something asked for cannot be, or there is no GPU.
    """
    check_asked(model, context_s, ("--utterances", utterances, 1), ("--rounds", rounds, 2))
    settings = TrainingSettings(seed=seed, audio_context_s=context_s, normaliser="basic")
    sweep = SweepConfig.from_dict(_SWEEP)
    with connect(None):
        if not find_resources(max_concurrent=None).gpus:
            raise SettingsError("bench packing: needs a GPU, found none.")
        speech_model = make_model(model, seed)
        task = SpeechTask(make_data(speech_model, context_s, utterances, seed), speech_model, settings)
        count = find_trials_per_gpu(task, sweep, {})
        say("one trial at a time")
        alone = _measure(task, sweep, 1, rounds, seed)
        say(f"{count} at a time")
        packed = _measure(task, sweep, count, rounds, seed)
    return {
        "trials_per_gpu": count,
        "runs_per_hour_alone": alone,
        "runs_per_hour_packed": packed,
        "gain": packed / alone,
        "model": model,
        "context_s": context_s,
        "utterances": utterances,
    }


def _measure(task: SpeechTask, sweep: SweepConfig, per_gpu: int, rounds: int, seed: int) -> float:
    """Runs an hour of all GPUs, by the median trial's time after each worker's first one.

    From its network's first step to its last report: what lies between two trials is left out of both.
    """
    resources = find_resources(max_concurrent=None, per_trial={"gpu": 1 / per_gpu})
    with tempfile.TemporaryDirectory(prefix="stt_tune-") as folder:
        result = run_sweep(
            sweep,
            build_train(task, resources, sweep.metric.name),
            num_trials=resources.max_concurrent * rounds,
            seed=seed,
            storage_path=Path(folder, "run"),
            max_concurrent_trials=resources.max_concurrent,
            resources_per_trial={"cpu": resources.cpus, "gpu": resources.gpus},
            wandb_mode="disabled",
        )
        later = result.table.trials[resources.max_concurrent :]
        seconds = statistics.median(trial.last("seconds") for trial in later)
    return 3600 * resources.max_concurrent / seconds
