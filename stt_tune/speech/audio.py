"""Read speech from a file as what the models take: 16 kHz, mono, float32."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
import soxr

SAMPLE_RATE = 16_000  # Hz; what every model family here was trained on


def read_audio(path: Path) -> np.ndarray:
    """Decode a file that libsndfile reads, mix it down and resample it to 16 kHz.

    Returns:
        Shape [samples], float32, in -1..1.

    Raises:
        ValueError: The file cannot be decoded, or holds no samples or a NaN; the message says which.
    """
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError) as error:
        reason = str(error).removeprefix(f"Error opening {str(path)!r}: ")
        raise ValueError(f"cannot be decoded ({reason})") from error
    if len(samples) == 0:
        raise ValueError("holds no samples")
    mono: np.ndarray = samples.mean(axis=1)
    if not np.isfinite(mono).all():
        raise ValueError("holds samples that are not numbers")
    return mono if rate == SAMPLE_RATE else resample(mono, rate, SAMPLE_RATE)


def resample(samples: np.ndarray, rate: float, new_rate: float) -> np.ndarray:
    """Change the sample rate (both in Hz) of mono samples of shape [samples]."""
    resampled: np.ndarray = soxr.resample(samples, rate, new_rate)
    return resampled
