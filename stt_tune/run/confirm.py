"""Confirm a finished run more thoroughly: more candidates, more trainings of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from stt_tune.results.optimal_config import update_config
from stt_tune.run.cluster import connect, find_resources
from stt_tune.run.earlier import check_same_data, opened_finished, remember_data
from stt_tune.run.folder import RunFolder
from stt_tune.run.settings import TuneSettings
from stt_tune.run.showing import show_result
from stt_tune.run.tune import load_prepared
from stt_tune.speech.report import METRICS


def confirm(
    run_dir: str | Path,
    *,
    top: int = 3,
    trainings: int = 3,
    guard: str | None = None,
    guard_tolerance: float | None = None,
    incumbent: Mapping[str, Any] | None = None,
    **given: Any,
) -> dict[str, Any]:
    """Train the best trials of a finished run and what they have to beat anew, and judge them again.

    The run's `optimal_config.json` is written anew. Trainings that were done before are not repeated.

    Args:
        run_dir: The run folder, a path or a URL.
        top: How many of the best trials.
        trainings: Of each, all with the same fresh seeds.
        guard: A manifest of what has to go on being right; None: the run's, if it has one.
        guard_tolerance: How far the WER on it may rise, absolute; None: the run's.
        incumbent: What production uses today; None: the run's, if it has one.
        **given: Fields of `TuneSettings` that are others than then, such as `data` or `address`.

    Returns:
        What `optimal_config.json` holds.

    Raises:
        SettingsError: The folder holds no finished run of `stt-tune tune`.
        SttTuneError: Model or data cannot be used any more, or training failed.
    """
    with opened_finished(run_dir, **given) as (folder, settings):
        asked = replace(
            settings,
            guard=guard or settings.guard,
            guard_tolerance=settings.guard_tolerance if guard_tolerance is None else guard_tolerance,
            incumbent=incumbent or settings.incumbent,
        )
        return _confirm(folder, asked, top, trainings, own_guard=settings.guard)


def _confirm(
    folder: RunFolder, settings: TuneSettings, top: int, trainings: int, *, own_guard: str | None
) -> dict[str, Any]:
    run, sweep = folder.read_run(), folder.read_sweep()
    speech = load_prepared(settings)
    if settings.guard != own_guard:  # another one is no other data to train on
        run["beside_hash"] = speech.beside_hash
    check_same_data(folder.location, run, settings, speech)
    table = folder.read_table(METRICS)
    from stt_tune.run.document import build_document
    from stt_tune.run.held_out import confirm_systems, plan_systems
    from stt_tune.run.labels import select_cases

    with folder.written(), folder.locked(), connect(settings.address, insecure=settings.insecure_cluster):
        remember_data(folder, settings)
        resources = find_resources(max_concurrent=settings.max_concurrent, per_trial=settings.resources_per_trial)
        task = select_cases(speech.task, resources, "test", settings.only_error_type)
        confirmation = confirm_systems(
            folder,
            task,
            plan_systems(table, sweep.metric, settings, top),
            settings,
            resources,
            trainings=trainings,
            data=folder.data_name(speech.beside_hash),
        )
    document = build_document(folder, sweep, settings, table, confirmation, task.data.dev)

    def write(before: dict[str, Any]) -> dict[str, Any]:
        kept: dict[str, Any] = {name: before[name] for name in ("data_profile", "history") if name in before}
        if before.get("hyperparameters") == document["hyperparameters"]:
            return {**before, **document, **kept}
        # what is best for a kind was compared with other hyperparameters
        return {**{name: value for name, value in before.items() if name != "by_error_type"}, **document, **kept}

    document = update_config(folder.optimal_config, write)
    show_result(folder)
    return document
