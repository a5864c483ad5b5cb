"""Keep the weights of a sweep's best trial, wherever its workers have left them."""

from __future__ import annotations

import shutil

from stt_tune.errors import ModelError, StorageError
from stt_tune.progress import say
from stt_tune.results.trials import COMPLETED, Trial
from stt_tune.run.folder import RunFolder
from stt_tune.run.settings import TuneSettings
from stt_tune.speech.report import METRICS
from stt_tune.transfer import pull, remove


def forget_unended(folder: RunFolder) -> None:
    """Delete networks of trials that have not ended."""
    from stt_tune.speech.pushed import forget_pushed
    from stt_tune.speech.saved import forget

    ended = {trial.trial_id for trial in folder.read_table(METRICS).trials if trial.status == COMPLETED}
    if folder.url:
        forget_pushed(folder.share(folder.models), but=ended)
    forget(folder.models, but=ended)


def keep_best(folder: RunFolder, winner: Trial, settings: TuneSettings) -> None:
    """Put the winner's network where it stays, and delete the others; without it, the run goes on.

    Args:
        folder: The run, whose workers have left networks in it, or at its URL.
        winner: The best trial.
        settings: Whether CTranslate2's format is asked for, too.

    Raises:
        OSError: The folder cannot be written.
    """
    from stt_tune.speech.saved import save_as_ctranslate2, take_best

    try:
        if folder.url:
            pull(folder.share(folder.models / winner.trial_id), folder.models / winner.trial_id)
        take_best(folder.models, winner.trial_id, folder.best_model)
        if folder.url:
            remove(folder.share(folder.models))
    except (ModelError, StorageError) as error:
        if not folder.best_model.is_dir():  # it was made of an earlier winner's
            shutil.rmtree(folder.best_model_ctranslate2, ignore_errors=True)
        say(f"{error} The run goes on without.")
        return
    if settings.ctranslate2:
        say("converting the best model for CTranslate2")
        save_as_ctranslate2(folder.best_model, folder.best_model_ctranslate2)
