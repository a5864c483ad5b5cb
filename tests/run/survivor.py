"""A small speech sweep that is to survive what is done to it.

`python -m tests.run.survivor RUN MODEL DATA TRIALS [ADDRESS]` begins it, or goes on with it.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from stt_tune.results.trials import TrialTable
from stt_tune.run.cluster import connect, find_resources
from stt_tune.run.folder import RunFolder
from stt_tune.run.settings import TuneSettings
from stt_tune.run.speech_trial import build_train
from stt_tune.run.sweep import run_sweep
from stt_tune.run.tune import load_prepared

EPOCHS = 8
_SWEEP = {
    "name": "survivor",
    "method": "random",
    "metric": {"name": "wer"},
    "parameters": {"learning_rate": {"min": 1e-4, "max": 1e-3}, "epochs": {"value": EPOCHS}, "dropout": {"value": 0.1}},
}


def run(out: Path, model: str, data: str, trials: int | str, address: str | None = None) -> TrialTable:
    """Begin the sweep, or go on with it, and give its table."""
    settings = TuneSettings(data=data, model=model, normaliser="basic")
    speech, folder = load_prepared(settings), RunFolder(out)
    with connect(address):
        resources = find_resources(max_concurrent=None if address else 2)
        task = replace(
            speech.task, utterances=folder.share(folder.utterances), checkpoints=folder.share(folder.checkpoints)
        )
        result = run_sweep(
            _SWEEP,
            build_train(task, resources, "wer"),
            num_trials=int(trials),
            storage_path=out,
            max_concurrent_trials=resources.max_concurrent,
            resources_per_trial={"cpu": resources.cpus, "gpu": resources.gpus},
            resume=folder.run.exists(),
        )
    return result.table


if __name__ == "__main__":
    run(Path(sys.argv[1]), *sys.argv[2:])
