"""`optimal_config.json`: the one small file that later fine-tuning trusts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
        audio_context_s: What they were padded to, in seconds.
        seed: Both were trained anew with it.
    """

    wer: float
    default_wer: float
    gain: Gain
    utterances: int
    audio_context_s: float
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


def save_optimal_config(path: Path, document: Mapping[str, Any]) -> None:
    """Write the document, atomically, with sorted keys and numbers of six significant digits."""
    write_json(path, _shorten(document))


def _shorten(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{_SIGNIFICANT_DIGITS}g}")
    if isinstance(value, Mapping):
        return {key: _shorten(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_shorten(each) for each in value]
    return value
