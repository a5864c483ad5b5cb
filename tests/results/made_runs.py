"""Made-up run folders: what a sweep leaves, without its hours. Files are written by what writes them in a real run."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stt_tune.results.optimal_config import update_config
from stt_tune.results.trials import COMPLETED, DIVERGED, FAILED, INTERRUPTED, STOPPED_EARLY, Trial, TrialTable
from stt_tune.results.utterances import save_utterances
from stt_tune.run.folder import SETTINGS, RunFolder
from stt_tune.sweep.asha import Asha
from stt_tune.sweep.config import SweepConfig

HOSTILE = "</script><img src=x onerror=alert(1)>\"'&{{7*7}}\u202e\u2067 ignore"
DEFAULT = {"learning_rate": 1e-5, "batch_size": 16, "epochs": 6, "weight_decay": 0.01, "schedule": "linear"}
_PARAMETERS: Mapping[str, Any] = {
    "learning_rate": {"distribution": "log_uniform_values", "min": 1e-6, "max": 1e-3},
    "batch_size": {"values": [4, 8, 16]},
    "epochs": {"min": 3, "max": 9},
    "weight_decay": {"min": 0.0, "max": 0.3},
    "schedule": {"values": ["linear", "cosine"]},
}
_WORDS = ("move", "the", "red", "crate", "under", "stairs", "before", "monday", "and", "leave", "it", "near", "gate")
_GOOD, _DEFAULT_ERRORS, _TUNED_ERRORS = -4.3, 0.25, 0.08


def make_sweep(method: str = "bayes", parameters: Mapping[str, Any] = _PARAMETERS, metric: str = "wer") -> SweepConfig:
    """A sweep of five hyperparameters, with early termination."""
    return SweepConfig.from_dict(
        {
            "name": "made-up",
            "method": method,
            "metric": {"name": metric, "goal": "minimize"},
            "parameters": dict(parameters),
            "early_terminate": {"type": "hyperband", "min_iter": 1, "eta": 3},
        }
    )


def make_run(
    path: Path,
    trials: int = 8,
    *,
    sweep: SweepConfig | None = None,
    decision: str | None = "winner",
    text: str = "",
    seed: int = 0,
) -> RunFolder:
    """Make the folder of a run.

    Args:
        path: The folder.
        trials: How many have ended.
        sweep: What was searched; None: `make_sweep`.
        decision: Of `optimal_config.json`; None: the run is unfinished, and has none.
        text: Stands in every transcript, and is the name of a speaker.
        seed: Of all that is drawn.
    """
    sweep, folder, rng = sweep or make_sweep(), RunFolder(path), np.random.default_rng(seed)
    settings = {"model": "tiny.en", "data": "errors.jsonl", "scheduler": "asha", "trials": trials, "seed": seed}
    facts = {SETTINGS: settings, "data_hash": "d" * 64, "normaliser": "basic/1", "utterances": {"dev": 40, "test": 40}}
    folder.start(sweep, seed, DEFAULT, {**facts, "resources": {"cpus": 2.0, "gpus": 1.0}})
    metrics = [sweep.metric.name, "seconds", "wer_substitution", "wer_insertion"]
    table = TrialTable(metrics, list(_train(sweep, trials, rng)))
    table.save(folder.trials)
    best, default = table.best(sweep.metric.name, sweep.metric.mode), table.default()
    for trial, errors in ((default, _DEFAULT_ERRORS), (best, _TUNED_ERRORS)):
        if trial:
            rows = list(_hear(trial.trial_id, seed, errors, text, rng))
            save_utterances(folder.utterances / f"{trial.trial_id}.parquet", rows, "basic/1")
    if decision and best and default:
        _confirm(folder, best, default, decision, text, rng)
    return folder


def _train(sweep: SweepConfig, trials: int, rng: np.random.Generator) -> Iterator[Trial]:
    asha = Asha(sweep.early_terminate.bands if sweep.early_terminate else (), 3, "min", 9)
    for number in range(trials):
        configuration = dict(DEFAULT) if number == 0 else sweep.flatten(sweep.sample(rng))
        trial = Trial(f"{number:08x}", number, number == 0, configuration, status=COMPLETED)
        rate, planned = configuration.get("learning_rate", 1e-4), int(configuration.get("epochs", 5))
        last = 0.08 + 0.06 * (math.log10(rate) - _GOOD) ** 2 + 0.01 * rng.normal()
        for epoch in range(1, planned + 1):
            wer = last + 0.3 / epoch - 0.3 / planned + 0.01 * rng.normal()
            if rate > 6e-4 and epoch == 1 + number % 2:
                trial.status, wer = DIVERGED, math.nan
            trial.reports.append(
                {
                    "epoch": epoch,
                    sweep.metric.name: wer,
                    "seconds": 9.0 * epoch + 64 / configuration.get("batch_size", 8),
                    "wer_substitution": wer * 1.1,
                    "wer_insertion": wer * 0.9 + 0.02 * rng.random(),
                }
            )
            if trial.status == DIVERGED:
                break
            if asha.stops(trial.trial_id, epoch, planned, wer) and number and epoch < planned:
                trial.status = STOPPED_EARLY
                break
        if number % 50 == 17:
            trial.status, trial.error = FAILED, f"RuntimeError: {HOSTILE}"
        if number % 50 == 29:
            trial.status = INTERRUPTED
        yield trial


def _hear(system: str, seed: int, share: float, text: str, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    for number in range(40):
        said = [*rng.choice(_WORDS, 7), *text.split()]
        wrong = rng.random(len(said)) < share
        heard = ["crates" if is_wrong else word for word, is_wrong in zip(said, wrong, strict=True)]
        yield {
            "system": system,
            "seed": seed,
            "id": f"test_{number:04d}",
            "kind": ("substitution", "deletion", None)[number % 3],
            "speaker": text or f"speaker {number % 5}",
            "reference": " ".join(said),
            "hypothesis": " ".join(heard),
            "substitutions": int(wrong.sum()),
            "pronunciations": int(wrong.sum()) // 3,
            "deletions": 0,
            "insertions": 0,
            "words": len(said),
            "character_errors": 5 * int(wrong.sum()),
            "characters": sum(map(len, said)),
        }


def _confirm(
    folder: RunFolder, best: Trial, default: Trial, decision: str, text: str, rng: np.random.Generator
) -> None:
    name = f"trial {best.number}"
    rows = [
        row
        for system, errors in (("default", _DEFAULT_ERRORS), (name, _TUNED_ERRORS))
        for seed in (1, 2)
        for row in _hear(system, seed, errors, text, rng)
    ]
    save_utterances(folder.held_out, rows, "basic/1")
    gain = {"relative_gain": 0.6, "interval": [0.4, 0.75], "p_value": 0.0004}
    if decision != "winner":
        gain = {"relative_gain": 0.02, "interval": [-0.2, 0.2], "p_value": 0.7}
    shared = {"diverged": 0, "training_s": 50.0, "wer_by_seed": [0.2, 0.21], "training_change": 0.1}
    systems = [
        {
            **shared,
            "role": "default",
            "name": "default",
            "hyperparameters": DEFAULT,
            "wer": 0.25,
            "wer_interval": [0.2, 0.3],
        },
        {
            **shared,
            **gain,
            "role": "candidate",
            "name": name,
            "hyperparameters": dict(best.configuration),
            "wer": 0.1,
            "wer_interval": [0.06, 0.15],
            "promised_gain": 0.7,
        },
    ]
    held_out = {
        **{"base_wer": 0.5, "base_wer_interval": [0.4, 0.6]},
        **{"wer": 0.1, "wer_interval": [0.06, 0.15], "default_wer": 0.25, "default_wer_interval": [0.2, 0.3]},
        **gain,
        **{"compared_with": "default", "choice": "one candidate", "utterances": 40, "words": 280, "blocks": 5},
        **{"blocks_are": "speaker", "speakers": 5, "seeds": [1, 2], "training_noise": 0.1},
        **{"audio_context_s": 30.0, "guard": None, "systems": systems},
    }
    taken = best if decision == "winner" else default
    document = {
        "hyperparameters": dict(taken.configuration),
        "decision": decision,
        "metric": "wer",
        "metric_value": best.last("wer"),
        "default_metric_value": default.last("wer"),
        "winner": {"trial_id": best.trial_id, "number": best.number, "hyperparameters": dict(best.configuration)},
        "dev": {
            "default": {"wer": 0.2, "interval": [0.15, 0.27], "utterances": 40},
            "winner": {"wer": 0.06, "interval": [0.03, 0.1], "utterances": 40},
        },
        "held_out": held_out,
        "history": [],
    }
    update_config(folder.optimal_config, lambda _before: document)
