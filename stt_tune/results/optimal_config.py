"""`optimal_config.json`: the one small file that later fine-tuning trusts."""

from __future__ import annotations

import getpass
import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stt_tune.errors import SettingsError
from stt_tune.files import write_json
from stt_tune.results.statistics import Gain

_SIGNIFICANT_DIGITS = 6


@dataclass(frozen=True)
class HeldOut:
    """What the test split said of the sweep's winner.

    Attributes:
        wer: The winner's word error rate.
        default_wer: The default configuration's, trained with the same seed.
        gain: The relative gain with its interval.
        utterances: How many were measured.
        audio_context_s: What they were padded to, in seconds; None where the model takes clips as they are.
        seed: Both were trained anew with it.
    """

    wer: float
    default_wer: float
    gain: Gain
    utterances: int
    audio_context_s: float | None
    seed: int

    def to_dict(self) -> dict[str, Any]:
        """As it stands in the file."""
        return {
            "wer": self.wer,
            "default_wer": self.default_wer,
            "relative_gain": self.gain.relative,
            "interval": [self.gain.low, self.gain.high],
            "utterances": self.utterances,
            "audio_context_s": self.audio_context_s,
            "seed": self.seed,
        }


def save_config(path: str | Path, hyperparameters: Mapping[str, Any]) -> None:
    """Write hyperparameters as a minimal `optimal_config.json`.

    Raises:
        SettingsError: They are none, or cannot be written as JSON.
        OSError: The file cannot be written.
    """
    _save(Path(path), {"hyperparameters": dict(hyperparameters), "history": [_event("saved")]})


def load_config(path: str | Path) -> dict[str, Any]:
    """Read the hyperparameters of an `optimal_config.json`, ready for `{**params, **overrides}`.

    Raises:
        SettingsError: The file cannot be read, or holds no hyperparameters.
    """
    return dict(read_document(Path(path))["hyperparameters"])


def update_optimal_config(hyperparameters: Mapping[str, Any], path: str | Path = "optimal_config.json") -> None:
    """Replace the hyperparameters of an `optimal_config.json`, and note when; a missing file is made.

    What else the file said of the old ones goes with them, into its `history`.

    Raises:
        SettingsError: The file is damaged, or the hyperparameters cannot be written as JSON.
        OSError: The file cannot be written.
    """
    path = Path(path)
    if not path.exists():
        save_config(path, hyperparameters)
        return
    before = read_document(path)
    replaced = {key: value for key, value in before.items() if key != "history"}
    history = [*before.get("history", []), {**_event("replaced"), "before": replaced}]
    _save(path, {"hyperparameters": dict(hyperparameters), "history": history})


def read_document(path: Path) -> dict[str, Any]:
    """Read a whole `optimal_config.json`.

    Raises:
        SettingsError: The file cannot be read, or holds no hyperparameters.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path}: must be an optimal_config.json, and cannot be read ({error}).") from error
    if not isinstance(document, dict) or not isinstance(document.get("hyperparameters"), dict):
        raise SettingsError(f"{path}: must hold hyperparameters, a mapping of names to values, and does not.")
    if not document["hyperparameters"]:
        raise SettingsError(f"{path}: hyperparameters: must hold at least one, and is empty.")
    return document


def _save(path: Path, document: Mapping[str, Any]) -> None:
    if not document["hyperparameters"]:
        raise SettingsError(f"{path}: hyperparameters: must hold at least one, found none.")
    try:
        save_optimal_config(path, document)
    except (TypeError, ValueError) as error:
        raise SettingsError(f"{path}: hyperparameters: must be plain, finite values ({error}).") from error


def _event(event: str) -> dict[str, Any]:
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # containers run under numbers that have no name
        user = "unknown"
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "by": f"{user}@{platform.node()}",
        "event": event,
    }


def save_optimal_config(path: Path, document: Mapping[str, Any]) -> None:
    """Write the document, atomically, with sorted keys.

    What was measured is cut to six significant digits; hyperparameters stay exactly what was tried.
    """
    write_json(path, _shorten(document))


def _shorten(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{_SIGNIFICANT_DIGITS}g}")
    if isinstance(value, Mapping):
        return {key: each if key == "hyperparameters" else _shorten(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_shorten(each) for each in value]
    return value
