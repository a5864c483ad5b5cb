"""The state of a training after its last epoch, so that it can go on from there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from safetensors import SafetensorError
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from stt_tune.files import write_json

_PREFIX, _WHOLE = f"{PREFIX_CHECKPOINT_DIR}-", "whole.json"

FAILURES = (OSError, RuntimeError, SafetensorError)
"""What transformers, torch and safetensors raise where a checkpoint cannot be written."""


def take_whole(folder: Path) -> Path | None:
    """Find the newest checkpoint that was written to its end, and delete what was not.

    Args:
        folder: Of one training's checkpoints; may be missing.
    """
    newest: Path | None = None
    for path in sorted(folder.glob(f"{_PREFIX}*"), key=lambda each: int(each.name.removeprefix(_PREFIX)), reverse=True):
        if newest is None and _is_whole(path):
            newest = path
        else:
            shutil.rmtree(path, ignore_errors=True)
    return newest


def _is_whole(path: Path) -> bool:
    try:
        sizes = json.loads((path / _WHOLE).read_text(encoding="utf-8"))
        return all((path / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, AttributeError):
        return False


def keep_newest(folder: Path, step: int) -> Path:
    """Mark the checkpoint of a step as whole, only then delete those before it, and give its folder.

    Raises:
        OSError: It cannot be marked; those before it are kept.
    """
    path = folder / f"{_PREFIX}{step}"
    write_json(path / _WHOLE, {each.name: each.stat().st_size for each in path.iterdir()})
    take_whole(folder)
    return path
