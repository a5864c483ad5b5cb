"""The embedded speech: synthesised warehouse orders on which Whisper tiny.en errs."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import platformdirs
import soundfile

from stt_tune.demo.espeak import Speech, speak_all
from stt_tune.demo.sentences import make_sentences
from stt_tune.files import write_lines
from stt_tune.progress import say
from stt_tune.speech.audio import SAMPLE_RATE, resample

_VERSION = 1  # raise it when the same seed gives other speech
_NARROW_RATE = 8_000  # Hz; a telephone's
_NARROW_SHARE = 0.33
_NOISE_DB = (18.0, 32.0)  # signal to noise
_WORDS_PER_MINUTE = (165, 200)
_PITCH = (35, 65)
_ACCENTS = (
    "gmw/en",
    "gmw/en-US",
    "gmw/en-GB-scotland",
    "gmw/en-GB-x-gbclan",
    "gmw/en-GB-x-gbcwmd",
    "gmw/en-GB-x-rp",
    "gmw/en-029",
    "gmw/en-US-nyc",
)
# Those that sound like a person, and come out the same every time (f2, f3, f5, Alicia do not).
_VOICES = {"train": ("m1", "m3", "m4", "f1", "Mike", "Denis"), "dev": ("m2", "f4"), "test": ("m7", "Annie")}


@dataclass(frozen=True)
class CorpusSize:
    """How many utterances each split gets."""

    train: int = 48
    dev: int = 24
    test: int = 40


def make_corpus(size: CorpusSize, seed: int, cache: Path | None = None) -> Path:
    """Synthesise the corpus, or find it in the cache, where it is kept by size and seed.

    Sentences and voices differ between the splits; dev and test have words that training never had.

    Args:
        size: Utterances in each split.
        seed: The same seed gives the same samples, to the last bit.
        cache: A folder; None: the user's cache folder.

    Returns:
        The manifest.

    Raises:
        SettingsError: The extra `demo` is not installed.
    """
    key = hashlib.sha256(json.dumps([_VERSION, asdict(size), seed]).encode()).hexdigest()[:12]
    folder = (cache or platformdirs.user_cache_path("stt_tune")) / f"speech-{key}"
    manifest = folder / "manifest.jsonl"
    # written last, so that it stands for the whole
    if not manifest.exists():
        say(f"synthesising {size.train + size.dev + size.test} utterances into {folder}")
        _synthesise(size, seed, folder, manifest)
    return manifest


def _synthesise(size: CorpusSize, seed: int, folder: Path, manifest: Path) -> None:
    rng = np.random.default_rng(seed)
    counts = asdict(size)
    sentences = make_sentences(counts, rng)
    plan = [(split, _plan_speech(text, split, rng)) for split in counts for text in sentences[split]]
    rate, spoken = speak_all([speech for _, speech in plan])
    (folder / "audio").mkdir(parents=True, exist_ok=True)
    lines = []
    for index, ((split, speech), samples) in enumerate(zip(plan, spoken, strict=True)):
        name = f"audio/{split}_{index:04d}.flac"
        path = folder / name
        heard = _degrade(resample(samples, rate, SAMPLE_RATE), rng)
        soundfile.write(path, heard, SAMPLE_RATE)
        lines.append(
            json.dumps(
                {
                    "id": path.stem,
                    "audio": name,
                    "text": speech.text,
                    "speaker": speech.voice,
                    "split": split,
                    "duration_s": round(len(heard) / SAMPLE_RATE, 3),
                }
            )
        )
    write_lines(manifest, lines)


def _plan_speech(text: str, split: str, rng: np.random.Generator) -> Speech:
    return Speech(
        text=text,
        voice=f"{rng.choice(_ACCENTS)}+{rng.choice(_VOICES[split])}",
        rate_wpm=int(rng.integers(*_WORDS_PER_MINUTE)),
        pitch=int(rng.integers(*_PITCH)),
    )


def _degrade(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Cut one clip in three to a telephone's band, and add mild white noise."""
    if rng.random() < _NARROW_SHARE:
        samples = resample(resample(samples, SAMPLE_RATE, _NARROW_RATE), _NARROW_RATE, SAMPLE_RATE)
    level = np.sqrt(np.mean(samples**2) / 10 ** (rng.uniform(*_NOISE_DB) / 10))
    noisy = samples + level * rng.standard_normal(len(samples)).astype(np.float32)
    clipped: np.ndarray = np.clip(noisy, -1, 1)
    return clipped
