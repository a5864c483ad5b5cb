"""Speak text with espeak-ng through ctypes (PyPI `espeakng-loader`).

espeak-ng keeps global state: it crashes when two threads use it, and only the same calls in a
fresh process give the same samples. So one process speaks one whole list, see `speak_all`.
"""

from __future__ import annotations

import ctypes
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np

from stt_tune.errors import SettingsError

# From espeak-ng's speak_lib.h.
_SYNCHRONOUS = 2
_RATE, _PITCH = 1, 3
_UTF8 = 1

_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


@dataclass(frozen=True)
class Speech:
    """One thing to say.

    Attributes:
        text: What to say, in English.
        voice: An espeak-ng voice with a variant, as in `gmw/en-US+m3`.
        rate_wpm: Speed in words per minute.
        pitch: From 0 to 99; 50 is the voice's own.
    """

    text: str
    voice: str
    rate_wpm: int
    pitch: int


def speak_all(speeches: Sequence[Speech]) -> tuple[int, list[np.ndarray]]:
    """Speak every item in a fresh process, so that the same list gives the same samples.

    Returns:
        The sample rate in Hz, and one float32 array of shape [samples] in -1..1 for each item.

    Raises:
        SettingsError: `espeakng-loader` is not installed, or lacks one of the voices.
    """
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as fresh:
        return fresh.submit(_speak_in_this_process, list(speeches)).result()


def _speak_in_this_process(speeches: list[Speech]) -> tuple[int, list[np.ndarray]]:
    try:
        import espeakng_loader
    except ImportError as error:
        raise SettingsError(
            "the embedded speech needs espeakng-loader, which is not installed. "
            "Install it: pip install 'stt-tune[demo]'"
        ) from error
    espeak = ctypes.CDLL(espeakng_loader.get_library_path())
    data_path = espeakng_loader.get_data_path().encode()
    sample_rate = espeak.espeak_Initialize(_SYNCHRONOUS, 0, data_path, 0)

    chunks: list[np.ndarray] = []

    def collect(samples: ctypes._Pointer[ctypes.c_short], count: int, _events: int | None) -> int:
        if count > 0:
            chunks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    callback = _CALLBACK(collect)
    espeak.espeak_SetSynthCallback(callback)
    spoken = []
    for speech in speeches:
        if espeak.espeak_SetVoiceByName(speech.voice.encode()) != 0:
            raise SettingsError(f"espeak-ng must know the voice {speech.voice}, and does not.")
        espeak.espeak_SetParameter(_RATE, speech.rate_wpm, 0)
        espeak.espeak_SetParameter(_PITCH, speech.pitch, 0)
        text = speech.text.encode()
        chunks.clear()
        espeak.espeak_Synth(text, len(text) + 1, 0, 0, 0, _UTF8, None, None)
        spoken.append(np.concatenate(chunks).astype(np.float32) / 32768)
    return sample_rate, spoken
