"""Train one configuration, as a trial does: what `wandb agent` runs when W&B itself schedules a sweep."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import wandb

from stt_tune.errors import SettingsError
from stt_tune.progress import say
from stt_tune.run.data import load_speech
from stt_tune.run.settings import TuneSettings
from stt_tune.run.tracking import find_mode, fit_tags
from stt_tune.run.wandb_function import STATUS
from stt_tune.speech.finetune import finetune
from stt_tune.speech.hyperparameters import Hyperparameters, complete
from stt_tune.speech.report import EpochReport


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
    try:
        Hyperparameters.from_mapping(parsed)
    except ValueError as error:
        raise SettingsError("\n".join(f"--{line}" for line in str(error).splitlines())) from error
    return parsed


def _read_value(text: str) -> Any:
    try:
        return float(text) if not text.lstrip("+-").isdigit() else int(text)
    except ValueError:
        return text


def train(hyperparameters: Mapping[str, Any], settings: TuneSettings, folder: Path) -> dict[str, Any]:
    """Fine-tune once, log every epoch to W&B, and give the last epoch's report.

    Under `wandb agent` the run is the agent's, whatever `settings` say of W&B.

    Args:
        hyperparameters: What differs from the default configuration.
        settings: Data, model and how to measure; what concerns sweeps has no effect.
        folder: Where W&B's files go.

    Raises:
        SttTuneError: Something cannot be used, or training diverged.
    """
    speech = load_speech(settings)
    configuration = complete(hyperparameters, settings.default_configuration())
    if unsuited := speech.find_unsuited(configuration):
        raise SettingsError("\n".join(f"--{problem}" for problem in unsuited))
    own: dict[str, Any] = {}
    if "WANDB_SWEEP_ID" not in os.environ:  # an agent says by its environment where the run belongs
        folder.mkdir(parents=True, exist_ok=True)
        own = {
            "project": settings.wandb_project or "stt-tune",
            "mode": find_mode(settings.wandb, folder),
            "dir": str(folder.absolute()),
        }
    last: dict[str, Any] = {}
    with wandb.init(tags=fit_tags(("stt-tune", settings.model)), config=configuration, **own) as run:

        def report(each: EpochReport) -> None:
            last.update(each.to_dict())
            run.log(last)
            run.summary[STATUS] = "diverged" if each.diverged else "completed"
            say(f"epoch {each.epoch} of {configuration['epochs']}: wer {each.wer:.4f}, dev loss {each.dev_loss:.4f}")

        finetune(configuration, speech.task.data, speech.task.model, report, speech.task.settings)
    return last
