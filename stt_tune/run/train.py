"""Train one configuration, as a trial does: what `wandb agent` runs when W&B itself schedules a sweep."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import wandb
from wandb.sdk.lib.runid import generate_id
from wandb.sdk.wandb_run import Run

from stt_tune.errors import DivergedError, SettingsError, StorageError, WandbError, first_line
from stt_tune.progress import say
from stt_tune.results.optimal_config import read_optimal_config, select_hyperparameters
from stt_tune.results.statistics import find_rate
from stt_tune.results.trials import COMPLETED, DIVERGED, FAILED, INTERRUPTED
from stt_tune.run.commands import command
from stt_tune.run.data import load_speech
from stt_tune.run.measures import count_words, find_blocks, tabulate_errors
from stt_tune.run.patience import insist
from stt_tune.run.project import choose_project
from stt_tune.run.settings import TuneSettings, check_trainable, found_with
from stt_tune.run.speech_trial import SpeechTask
from stt_tune.run.tracking import find_mode, fit_tags
from stt_tune.run.wandb_function import STATUS
from stt_tune.run.wandb_link import FINISH_TIMEOUT_S, INIT_TIMEOUT_S, begin_run
from stt_tune.speech.decode import measure_at_full_context
from stt_tune.speech.families.base import SpeechModel
from stt_tune.speech.finetune import finetune
from stt_tune.speech.hyperparameters import complete, find_problems
from stt_tune.speech.report import EpochReport
from stt_tune.speech.saved import save_model


def parse_hyperparameters(arguments: Sequence[str]) -> dict[str, Any]:
    """Read hyperparameters from a command line: `--learning_rate=3e-5 --batch_size 16`, as W&B writes them.

    Raises:
        SettingsError: An argument has no value, or cannot be trained with; all problems are told at once.
    """
    parsed: dict[str, Any] = {}
    left = list(arguments)
    while left:
        name, _, value = left.pop(0).partition("=")
        if not name.startswith("--"):
            raise SettingsError(f"arguments must be hyperparameters such as --learning_rate=3e-5, found {name!r}.")
        if not value:
            if not left or left[0].startswith("--"):
                raise SettingsError(f"{name}: must have a value, such as {name}=1, and has none.")
            value = left.pop(0)
        parsed[name[2:]] = _read_value(value)
    _refuse(find_problems(parsed))
    return parsed


def _read_value(text: str) -> Any:
    try:
        return float(text) if not text.lstrip("+-").isdigit() else int(text)
    except ValueError:
        return text


def read_config(location: str | None, error_type: str | None) -> tuple[dict[str, Any], dict[str, str]]:
    """Read hyperparameters that can be trained, and the model, language and normaliser that they were found with.

    Args:
        location: An `optimal_config.json`, a path or a URL; None: there is none.
        error_type: The kind of error that training is about.

    Raises:
        SettingsError: The file is not valid, or there is no such kind of error.
        SharedFileError: It cannot be reached.
    """
    if location is None:
        if error_type:
            raise SettingsError("--error-type: chooses from --config, which is not given. Add it.")
        return {}, found_with({})
    document = read_optimal_config(location)
    hyperparameters = select_hyperparameters(document, error_type)
    return check_trainable(hyperparameters, location), found_with(document)


def train(
    hyperparameters: Mapping[str, Any], settings: TuneSettings, folder: Path, model: Path | None = None
) -> dict[str, Any]:
    """Fine-tune once, log every epoch to W&B, and give the last epoch's report.

    Under `wandb agent` the run is the agent's, whatever `settings` say of W&B.

    Args:
        hyperparameters: What differs from the default configuration.
        settings: Data, model and how to measure; what concerns sweeps has no effect.
        folder: Where W&B's files go.
        model: Where the trained model goes; None: nowhere. Where it is kept, it is measured on the test
            split, too: `held_out_wer` with `held_out_wer_interval`.

    Raises:
        SttTuneError: Something cannot be used, W&B refuses the run of its agent, training diverged, or the model
            cannot be written.
    """
    configuration = complete(hyperparameters, settings.default_configuration())
    _refuse(find_problems(configuration))
    is_agents = "WANDB_SWEEP_ID" in os.environ  # an agent says by its environment where the run belongs
    if not is_agents:
        choose_project(settings.wandb, settings.wandb_project)
    for each in (None if is_agents else folder, model):
        if each:
            _make(each)
    speech = load_speech(settings)
    _refuse(speech.find_unsuited(configuration))
    last: dict[str, Any] = {}
    with _begin(configuration, settings, None if is_agents else folder) as run:

        def report(each: EpochReport) -> None:
            last.update(each.to_dict())
            run.log(last)
            say(f"epoch {each.epoch} of {configuration['epochs']}: wer {each.wer:.4f}, dev loss {each.dev_loss:.4f}")

        task = speech.task
        with _noting_end(run):
            network = finetune(configuration, task.data, task.model, report, task.settings)
        if model:
            _save(network, task.model, model)
            held_out = _measure(network, task)
            last |= held_out
            run.summary.update(held_out)
    return last


def _begin(configuration: Mapping[str, Any], settings: TuneSettings, folder: Path | None) -> Run:
    """Begin the W&B run; offline where W&B does not answer, or refuses it.

    Args:
        configuration: Of the training.
        settings: Say which run it is to be.
        folder: Where W&B's files go; None: the run is the agent's, which has said where it belongs.

    Raises:
        WandbError: The agent's run cannot be begun.
    """
    told: dict[str, Any] = {"tags": fit_tags(("stt-tune", settings.model)), "config": configuration}
    if folder is None:
        try:
            return wandb.init(**told)
        except wandb.Error as error:
            raise WandbError(
                f"W&B: must take the run of its agent, and does not ({first_line(error)}). Nothing has been trained."
            ) from error

    def tell(reason: str) -> None:
        later = command("wandb-sync", folder)
        say(f"W&B: it does not take the run ({reason}), which is kept offline; later: {later}")

    own: dict[str, Any] = {
        "project": choose_project(settings.wandb, settings.wandb_project),
        "mode": find_mode(settings.wandb, folder),
        "dir": str(folder.absolute()),
        "id": generate_id(),
        "settings": {"init_timeout": INIT_TIMEOUT_S, "finish_timeout": FINISH_TIMEOUT_S},
    }
    return begin_run(wandb.init, {**told, **own}, tell)


@contextlib.contextmanager
def _noting_end(run: Run) -> Iterator[None]:
    """Write into the run how the training inside the block ends, also if nothing is left to do so."""
    run.summary[STATUS] = INTERRUPTED
    try:
        yield
    except Exception as error:
        run.summary[STATUS] = DIVERGED if isinstance(error, DivergedError) else FAILED
        raise
    run.summary[STATUS] = COMPLETED


def _refuse(problems: Sequence[str]) -> None:
    """Tell of what a configuration cannot be trained with, if there is anything."""
    if problems:
        raise SettingsError("\n".join(f"--{problem}" for problem in problems))


def _make(folder: Path) -> None:
    """Make a folder, and find out before the training whether it can be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise SettingsError(
            f"--out {folder}: must be a folder that can be written ({error.strerror}). Name another one."
        ) from error


def _save(network: Any, model: SpeechModel, folder: Path) -> None:
    try:
        insist(lambda: save_model(network, model, folder), folder)
    except OSError as error:
        raise StorageError(
            f"{folder}: must take the trained model, and cannot be written ({error.strerror}). Make room, or name "
            "another --out, and train again. W&B's files have the epochs."
        ) from error


def _measure(network: Any, task: SpeechTask) -> dict[str, Any]:
    say(f"measuring it on {len(task.data.test)} held-out utterances")
    test = task.data.test
    heard = measure_at_full_context(network, test, task.model, task.settings.normaliser)
    blocks, _are = find_blocks(test)
    rate = find_rate(tabulate_errors([heard]), count_words(heard), blocks, seed=task.settings.seed)
    return {"held_out_wer": rate.value, "held_out_wer_interval": [rate.low, rate.high]}
