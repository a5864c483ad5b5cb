"""Save trained networks as checkpoints that other tools of the field read."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

from filelock import FileLock
from safetensors import SafetensorError
from transformers import PreTrainedModel

from stt_tune.errors import ModelError, SettingsError
from stt_tune.speech.families.base import SpeechModel

SCORE = "dev.json"
_TRIAL = "trial_id.json"  # beside the best trial's weights: whose they are
_OS_ERROR = re.compile(r"\(os error (\d+)\)")  # as Rust ends what it says of one


def save_model(network: PreTrainedModel, model: SpeechModel, folder: Path) -> None:
    """Write weights (safetensors), config, tokenizer and feature extractor in transformers' format.

    Args:
        network: One that `model` has built, trained.
        model: What it was built from.
        folder: Made if it is missing.

    Raises:
        OSError: The folder cannot be written.
    """
    # the config without this training's dropout, and the decoding that the checkpoint came with
    network.config, used_config = model.config, network.config
    if model.published_generation:
        network.generation_config, used_generation = model.published_generation, network.generation_config
    try:
        network.save_pretrained(folder)
    except SafetensorError as error:
        number = _OS_ERROR.search(str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(folder)) from error
    finally:
        network.config = used_config
        if model.published_generation:
            network.generation_config = used_generation
    model.tokenizer.save_pretrained(folder)
    model.feature_extractor.save_pretrained(folder)
    mode = (folder / "config.json").stat().st_mode & 0o777
    for path in folder.glob("*.safetensors"):
        path.chmod(mode)  # as the files beside it; safetensors lets only their owner read them


def save_if_best(network: PreTrainedModel, model: SpeechModel, folder: Path, trial: str, loss: float) -> None:
    """Save a trial's network as `FOLDER/TRIAL` unless a better one lies there.

    Those worse than the second best are deleted. Safe with several workers at once.

    Args:
        network: Trained.
        model: What it was built from.
        folder: Of all trials' networks.
        trial: The trial's id.
        loss: What the trials are compared by; lower is better, and equal ones are all kept.

    Raises:
        OSError: The folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "lock"):
        others = {path.parent: float(json.loads(path.read_text())) for path in folder.glob(f"*/{SCORE}")}
        if not math.isfinite(loss) or any(other < loss for other in others.values()):
            return  # a better one is there
        save_model(network, model, folder / trial)
        # last: a folder without it was left by a worker that died
        (folder / trial / SCORE).write_text(json.dumps(loss))
        # the second best stays, too: this trial may yet be interrupted before it is known to be completed
        second = min(others.values(), default=math.inf)
        for path, other in others.items():
            if other > second:
                shutil.rmtree(path)


def forget(folder: Path, *, but: Collection[str]) -> None:
    """Delete the networks of all other trials, such as interrupted ones.

    Args:
        folder: Of all trials' networks; may be missing.
        but: Ids of the trials whose networks stay.
    """
    for path in folder.glob("*/"):
        if path.name not in but:
            shutil.rmtree(path)


def take_best(folder: Path, trial: str, to: Path) -> None:
    """Move the network that `save_if_best` kept for `trial`, and delete all others.

    Done again after it was interrupted, it goes on where it was.

    Raises:
        ModelError: There is none; an earlier winner's that was there lies beside `to`.
        OSError: A folder cannot be written.
    """
    if (folder / trial / SCORE).is_file():
        (folder / trial / _TRIAL).write_text(json.dumps(trial))
        shutil.rmtree(to, ignore_errors=True)
        shutil.move(folder / trial, to)
    if not to.is_dir():
        raise ModelError(f"{folder / trial}: must hold the best trial's weights, and does not.")
    # runs that were begun before it was noted have none
    holder = json.loads((to / _TRIAL).read_text()) if (to / _TRIAL).is_file() else trial
    if holder != trial:
        aside = to.with_name(f"{to.name}_of_{holder}")
        shutil.rmtree(aside, ignore_errors=True)
        to.rename(aside)
        raise ModelError(
            f"{to}: must hold the weights of the best trial, {trial}, which were not kept. Those of {holder}, the "
            f"best before, are in {aside}."
        )
    (to / SCORE).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def save_as_ctranslate2(folder: Path, to: Path) -> None:
    """Convert a saved Whisper to CTranslate2's format, float16, as faster-whisper serves it.

    Raises:
        SettingsError: ctranslate2 is not installed.
    """
    converters = import_converters()
    files = [name for name in ("tokenizer.json", "preprocessor_config.json") if (folder / name).is_file()]
    converter = converters.TransformersConverter(str(folder), copy_files=files)
    converter.convert(str(to), quantization="float16", force=True)


def import_converters() -> Any:
    """CTranslate2's converters.

    Raises:
        SettingsError: They are not installed.
    """
    try:
        from ctranslate2 import converters
    except ImportError as error:
        raise SettingsError(
            "--ctranslate2: needs ctranslate2. Install it: pip install 'stt-tune[ctranslate2]'."
        ) from error
    return converters
