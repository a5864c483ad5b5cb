"""A small finished run folder, without any training: what W&B is given of a sweep is made from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import wandb

from stt_tune.results.optimal_config import update_config
from stt_tune.results.trials import COMPLETED, STOPPED_EARLY, Trial, TrialTable
from stt_tune.run.folder import RunFolder
from stt_tune.run.tracking import build_identity
from stt_tune.run.wandb_place import note_place
from stt_tune.sweep.config import SweepConfig

SWEEP = """
name: small's "own" = x
method: random
metric: {name: wer, goal: minimize}
parameters:
  learning_rate: {distribution: log_uniform_values, min: 1e-5, max: 1e-3}
  optimiser: {parameters: {name: {values: [adam, sgd]}}}
  epochs: {value: 9}
early_terminate: {type: hyperband, min_iter: 1, eta: 3}
"""
HELD_OUT = {
    "wer": 0.125,
    "default_wer": 0.25,
    "relative_gain": 0.5,
    "p_value": 0.01,
    "utterances": 48,
    "audio_context_s": None,
    "blocks": 4,
    "blocks_are": "speaker",
    "speakers": 4,
    "seeds": [1, 2],
    "compared_with": "default",
    "choice": "one candidate",
    "guard": None,
    "systems": [],
}


def make_folder(path: Path, *, mode: str = "offline") -> RunFolder:
    """A sweep of three trials, the last one the best, the second one stopped after three of nine epochs.

    Args:
        path: Where.
        mode: Of W&B.
    """
    folder = RunFolder(path)
    path.mkdir(exist_ok=True)
    (path / "source.yaml").write_text(SWEEP)
    sweep = SweepConfig.from_yaml(path / "source.yaml")
    folder.start(sweep, 0, None)
    note_place(folder, build_identity(mode, folder=path, project="p", group=sweep.name, tags=()))
    table = TrialTable(("wer",))
    for number, (trial_id, status, epochs) in enumerate(
        (("first", COMPLETED, 9), ("second", STOPPED_EARLY, 3), ("third", COMPLETED, 9))
    ):
        configuration = {"learning_rate": 1e-4, "optimiser.name": "adam", "epochs": 9}
        reports = [{"epoch": epoch, "wer": 1 / (epoch + number)} for epoch in range(1, epochs + 1)]
        table.add(Trial(trial_id, number, number == 0, configuration, status, None, 0, reports))
    table.save(folder.trials)
    return folder


def log_offline(folder: RunFolder) -> None:
    """The trials' W&B runs, as the tracker leaves them offline."""
    for trial in folder.read_table(("wer",)).trials:
        with wandb.init(
            project="p", group=folder.read_run()["sweep"], tags=["stt-tune"], id=trial.trial_id, mode="offline",
            dir=folder.path, reinit="create_new", settings={"silent": True, "console": "off", "x_disable_stats": True},
        ) as run:  # fmt: skip
            for each in trial.reports:
                run.log(dict(each), step=each["epoch"])


def conclude(folder: RunFolder, winner: str, **more: Any) -> None:
    """Write `optimal_config.json`."""
    document = {
        "hyperparameters": {"learning_rate": 1e-4},
        "decision": "default_kept",
        "metric": "wer",
        "metric_value": 0.1,
        "default_metric_value": 0.2,
        "winner": {"number": 2, "trial_id": winner, "hyperparameters": {"learning_rate": 1e-4}},
        "held_out": HELD_OUT,
        "history": [],
        **more,
    }
    update_config(folder.optimal_config, lambda before: {**before, **document})
