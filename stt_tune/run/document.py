"""What a run writes into `optimal_config.json`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from stt_tune.results.confirmation import BASE_MODEL, DEFAULT, INCUMBENT
from stt_tune.results.statistics import find_rate
from stt_tune.results.trials import COMPLETED, Trial, TrialTable
from stt_tune.results.utterances import load_counts
from stt_tune.run.folder import RunFolder
from stt_tune.run.held_out import Confirmation
from stt_tune.run.measures import find_blocks
from stt_tune.run.profile import profile_errors
from stt_tune.run.settings import TuneSettings
from stt_tune.run.versions import find_versions
from stt_tune.speech.example import Example
from stt_tune.sweep.config import SweepConfig

_KEPT = {DEFAULT: "default_kept", INCUMBENT: "incumbent_kept"}


def build_document(
    folder: RunFolder,
    sweep: SweepConfig,
    settings: TuneSettings,
    table: TrialTable,
    confirmation: Confirmation,
    dev: Sequence[Example],
) -> dict[str, Any]:
    """Say which configuration is to be trained with from now on, and all that is known of it.

    Args:
        folder: Of the run.
        sweep: What was searched.
        settings: On what.
        table: The trials.
        confirmation: What held-out speech said.
        dev: The dev split; what the base model gets wrong of it is recorded, where it was asked.
    """
    run, metric, verdict = folder.read_run(), sweep.metric, confirmation.verdict
    best = table.best(metric.name, metric.mode)
    if verdict.chosen:
        best = table.get(verdict.chosen.system.facts["trial_id"])
    default = table.default()
    taken = verdict.chosen if verdict.is_better and verdict.chosen else verdict.reference
    return {
        "hyperparameters": dict(taken.system.configuration),
        "decision": "winner" if verdict.is_better else _KEPT[verdict.reference.system.role],
        "metric": metric.name,
        "metric_value": best.last(metric.name) if best else None,
        "default_metric_value": _last(default, metric.name),
        "normaliser": run["normaliser"],
        "winner": _describe(best) if best else None,
        "held_out": confirmation.to_dict(),
        "training_s": taken.system.training_s,
        "trials": len(table.trials),
        "sweep": sweep.name,
        "sweep_hash": run["sweep_hash"],
        "data_hash": run["data_hash"],
        "data_profile": {**_profile_base(dev, settings), **run.get("data_profile", {})},
        "dev": {
            name: measured
            for name, trial in (("default", default), ("winner", best))
            if trial and (measured := _measure_dev(folder, trial, dev))
        },
        "run": folder.location,
        "model": settings.model,
        "language": settings.language,
        "seed": settings.seed,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": find_versions(),
        "history": [],
    }


def _last(trial: Trial | None, metric: str) -> float | None:
    value = trial.last(metric) if trial is not None and trial.status == COMPLETED else math.nan
    return value if math.isfinite(value) else None


def _profile_base(dev: Sequence[Example], settings: TuneSettings) -> dict[str, Any]:
    heard = [each.base for each in dev if each.base is not None]
    # some cases only, chosen by what the base model gets wrong, would not say what it gets wrong of all
    is_whole = len(heard) == len(dev) and settings.only_error_type is None
    return {"base": profile_errors(heard, BASE_MODEL)} if heard and is_whole else {}


def _measure_dev(folder: RunFolder, trial: Trial, dev: Sequence[Example]) -> dict[str, Any] | None:
    """What dev said of a trial; as it chose the winner, it flatters this one."""
    counts = load_counts(folder.utterances / f"{trial.trial_id}.parquet")
    if counts is None or len(counts[1]) != len(dev):
        return None
    errors, words = counts
    blocks, _are = find_blocks(dev)
    if blocks.max() == 0:
        return None  # one utterance has no interval
    rate = find_rate(errors[None], words, blocks)
    return {"wer": rate.value, "interval": [rate.low, rate.high], "utterances": len(words)}


def _describe(trial: Trial) -> Mapping[str, Any]:
    return {"trial_id": trial.trial_id, "number": trial.number, "hyperparameters": dict(trial.configuration)}
