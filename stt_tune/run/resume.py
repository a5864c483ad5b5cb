"""Go on with a run that was interrupted, or that is given more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from stt_tune.errors import SettingsError
from stt_tune.progress import say
from stt_tune.results.optimal_config import read_optimal_config
from stt_tune.run.budget import is_reached
from stt_tune.run.commands import command
from stt_tune.run.earlier import check_same_data, read_settings
from stt_tune.run.folder import SETTINGS, RunFolder
from stt_tune.run.opening import opened
from stt_tune.run.replacement import conclude_run
from stt_tune.run.settings import TuneSettings
from stt_tune.run.tune import TuneResult, check_fits, load_prepared, run_on
from stt_tune.speech.report import METRICS
from stt_tune.sweep.metric import Metric

_CLUSTER = {"address", "insecure_cluster"}


def resume(path: str | Path, **given: Any) -> TuneResult:
    """Continue the interrupted run in the folder `path` to its full number of trials.

    Args:
        path: The run folder, a path or a URL.
        **given: Fields of `TuneSettings` that are others from now on: more trials, higher limits, or
            where the data lie now. With them a finished run goes on, too, but not with another cluster alone.

    Raises:
        SttTuneError: As `tune`; also if the run is finished and given nothing, or its data have changed.
    """
    with opened(path) as folder:
        folder.check_existing()
        return _resume(folder, path, given)


def _resume(folder: RunFolder, path: str | Path, given: Mapping[str, Any]) -> TuneResult:
    run = folder.read_run()
    is_finished = folder.optimal_config.exists()
    if is_finished and not given.keys() - _CLUSTER:
        return _conclude_again(folder, run)
    settings = replace(read_settings(folder), **given)
    if is_finished and settings.retunes:
        raise SettingsError(
            f"{path}: must not be a finished re-tune, which has been decided. Start another one.\n"
            f"{folder.how_to_go_on()}"
        )
    sweep = folder.read_sweep()
    check_fits(sweep, settings)
    if "trials" in given:
        _check_more(folder, settings.budget.aim(sweep.metric))
    speech = load_prepared(settings)
    check_same_data(path, run, settings, speech)
    ended, planned = len(folder.read_table(METRICS).ended()), sweep.count_trials(settings.trials)
    say(f"resuming {path}: {ended} of {planned} trials are finished")
    return run_on(folder, sweep, settings, speech, lambda: folder.reopen(settings.to_dict()) if given else None)


def _check_more(folder: RunFolder, metric: Metric) -> None:
    """Refuse more trials where none would begin.

    Raises:
        SettingsError: A trial has reached the target.
    """
    if not is_reached(metric, folder.read_table(METRICS)):
        return
    lower = "Give a lower one with --target-wer, or search" if metric.name == "wer" else "Search"
    raise SettingsError(
        f"--trials: must be given where trials still begin, and none does: the target of {metric.name}, "
        f"{metric.target:g}, is reached. {lower} on without one: {command('refine', folder.location)}"
    )


def _conclude_again(folder: RunFolder, run: Mapping[str, Any]) -> TuneResult:
    """Do the last step of a finished re-tune once more: the shared file may not have been reached.

    Raises:
        SettingsError: The run is no re-tune.
        SharedFileError: It is still not reached.
    """
    settings = TuneSettings.from_dict(run.get(SETTINGS, {"data": "", "model": ""}))
    if not settings.retunes:
        raise SettingsError(
            f"{folder.location}: must be an interrupted run, and is finished: see "
            f"{folder.share(folder.optimal_config)}. With "
            "--trials or a higher limit it goes on; stt-tune refine searches on around its best trials."
        )
    document, sweep, table = read_optimal_config(folder.optimal_config), folder.read_sweep(), folder.read_table(METRICS)
    best = table.best(sweep.metric.name, sweep.metric.mode)
    if best is None:
        raise SettingsError(f"{folder.trials}: must hold the trials of a finished run, and does not.")
    return TuneResult(folder, table, best, document, sweep, conclude_run(folder, document, settings))
