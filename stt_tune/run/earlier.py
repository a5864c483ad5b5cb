"""A run that is there already, and is gone on with."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stt_tune.errors import SettingsError
from stt_tune.run.folder import SETTINGS, RunFolder
from stt_tune.run.opening import opened
from stt_tune.run.settings import TuneSettings
from stt_tune.speech.normalisers import describe_normaliser

if TYPE_CHECKING:
    from stt_tune.run.data import PreparedSpeech


@contextlib.contextmanager
def opened_finished(run_dir: str | Path, **given: Any) -> Iterator[tuple[RunFolder, TuneSettings]]:
    """Open the folder of a finished run of `stt-tune tune`, a path or a URL; its settings are as then, but for `given`.

    Raises:
        SettingsError: It is none.
    """
    with opened(run_dir) as folder:
        folder.check_existing()
        settings = read_settings(folder)
        if not folder.optimal_config.exists():
            hint = "It is running: wait for its end." if folder.is_locked else folder.how_to_go_on()
            raise SettingsError(f"{run_dir}: must be a finished run of stt-tune tune.\n{hint}")
        yield folder, replace(settings, **given)


def read_settings(folder: RunFolder) -> TuneSettings:
    """Read what a run was begun with.

    Raises:
        SettingsError: It trains with a function of somebody's own.
    """
    run = folder.read_run()
    if SETTINGS not in run:
        raise SettingsError(
            f"{folder.location}: must be a run of stt-tune tune, and has a training function of its own.\n"
            f"{folder.how_to_go_on()}"
        )
    return TuneSettings.from_dict(run[SETTINGS])


def check_same_data(path: str | Path, run: Mapping[str, Any], settings: TuneSettings, speech: PreparedSpeech) -> None:
    """Make sure that a run goes on with what it began with.

    Raises:
        SettingsError: The data, how they are measured, or the model has changed.
    """
    beside = f"{settings.replay or ''} {settings.guard or ''}".strip()
    for name, source, found in (
        ("data_hash", settings.data, speech.data_hash),
        ("beside_hash", beside, speech.beside_hash),
    ):
        if run.get(name, found) != found:
            raise SettingsError(
                f"{source}: must be the data that the run began with, and has changed. "
                "Start a new run, or restore the data."
            )
    if run.get("model_hash", speech.model_hash) != speech.model_hash:
        raise SettingsError(
            f"{settings.model}: must be the model that the run began with, and has other weights now. "
            "Start a new run, or restore the model."
        )
    normaliser = describe_normaliser(speech.task.settings.normaliser)
    if run.get("normaliser") != normaliser:
        raise SettingsError(
            f"{path}: must be measured as it began, with {run.get('normaliser')}, found {normaliser}. Start a new run, "
            "or install the version of then."
        )


def remember_data(folder: RunFolder, settings: TuneSettings) -> None:
    """Write down where a run's data lie now.

    Raises:
        SettingsError: The folder cannot be written.
    """
    kept = folder.read_run()[SETTINGS]
    if kept["data"] != settings.data:
        folder.note(**{SETTINGS: {**kept, "data": settings.data}})
