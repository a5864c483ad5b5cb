"""Read speech from a file as what the models take: 16 kHz, mono, float32."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import soundfile
import soxr

_SLACK_S = 0.5  # other tools round the ends of parts
_FOREIGN = (".m4a", ".mp4", ".aac", ".webm", ".wma", ".amr")  # what phones and browsers record in, beside what is read
SAMPLE_RATE = 16_000  # Hz; what every model family here was trained on


def read_audio(
    source: Path | io.BufferedIOBase,
    *,
    offset_s: float = 0.0,
    duration_s: float | None = None,
    longest_s: float | None = None,
) -> np.ndarray:
    """Decode what libsndfile reads, mix it down and resample it to 16 kHz.

    Args:
        source: A file, or its bytes.
        offset_s: Where the clip begins in it, in seconds.
        duration_s: How long it is; None: to the end.
        longest_s: A longer one is refused before it is decoded.

    Returns:
        Shape [samples], float32, in -1..1.

    Raises:
        ValueError: It cannot be decoded, is longer than allowed or shorter than its part, or holds no
            samples, only silence, or a NaN; the message says which.
    """
    try:
        with soundfile.SoundFile(source) as file:
            rate = file.samplerate
            start = round(offset_s * rate)
            if start > file.frames:
                raise ValueError(f"ends after {file.frames / rate:.1f} s, before the offset of {offset_s:g} s")
            count = file.frames - start if duration_s is None else min(round(duration_s * rate), file.frames - start)
            if longest_s is not None and count > longest_s * rate:
                raise ValueError(
                    f"lasts {count / rate:.1f} s, clips may last {longest_s:g} s at most. Cut it, or name the "
                    "part that was spoken by offset_s and duration_s"
                )
            if duration_s is not None and start + duration_s * rate > file.frames + _SLACK_S * rate:
                raise ValueError(
                    f"ends after {file.frames / rate:.1f} s, before the end of the part, {offset_s + duration_s:.1f} s"
                )
            file.seek(start)
            samples = file.read(count, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError) as error:
        raise ValueError(_explain(error, source)) from error
    if len(samples) == 0:
        raise ValueError("holds no samples")
    if len(samples) < count:
        raise ValueError(f"is cut off: {len(samples)} of its {count} samples are there")
    mono: np.ndarray = samples.mean(axis=1)
    if not np.isfinite(mono).all():
        raise ValueError("holds samples that are not numbers")
    if not mono.any():
        raise ValueError("holds nothing but digital silence")
    speech = mono if rate == SAMPLE_RATE else resample(mono, rate, SAMPLE_RATE)
    if len(speech) == 0:
        raise ValueError(f"holds no samples at {SAMPLE_RATE / 1000:g} kHz")
    return speech


def _explain(error: Exception, source: Path | io.BufferedIOBase) -> str:
    reason = error.error_string if isinstance(error, soundfile.LibsndfileError) else str(error)
    told = f"cannot be decoded ({reason.rstrip('.')})"
    suffix = Path(getattr(source, "name", "")).suffix  # bytes from a data set's row have no name
    if suffix.lower() not in _FOREIGN:
        return told
    return f"{told}: libsndfile reads no {suffix[1:].lower()}. Convert it: ffmpeg -i IN{suffix} OUT.flac"


def resample(samples: np.ndarray, rate: float, new_rate: float) -> np.ndarray:
    """Change the sample rate (both in Hz) of mono samples of shape [samples]."""
    resampled: np.ndarray = soxr.resample(samples, rate, new_rate)
    return resampled
