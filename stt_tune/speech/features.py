"""Turn utterances into what a trial trains on: log-mel features and token ids, made once."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from stt_tune.progress import track
from stt_tune.speech.audio import SAMPLE_RATE, read_audio
from stt_tune.speech.manifest import SPLITS, Utterance
from stt_tune.speech.model import SpeechModel

_HOP = 160  # samples between two mel frames
_FRAMES_PER_S = SAMPLE_RATE // _HOP
# Silence after the clip that makes its last frames the same as inside a longer padded one: more
# than the analysis window of 400 samples, which reaches over the end.
_TAIL = 3 * _HOP


@dataclass(frozen=True)
class Example:
    """One utterance, ready for training.

    Attributes:
        id: The utterance's id.
        reference: The correct transcript.
        features: Log-mel features up to the clip's end, float32, [mel bins, frames]; the last
            frame is silence, which is what every further frame of a padded clip holds.
        labels: Token ids of the transcript with the end token, without the prompt.
    """

    id: str
    reference: str
    features: np.ndarray
    labels: list[int]


@dataclass(frozen=True)
class SpeechData:
    """The three splits of a data set, prepared for one model."""

    train: list[Example]
    dev: list[Example]
    test: list[Example]


def prepare(utterances: Sequence[Utterance], model: SpeechModel) -> SpeechData:
    """Compute features and labels for every utterance, each of which has a split."""
    with ThreadPoolExecutor() as pool:
        made = pool.map(lambda utterance: _make_example(utterance, model), utterances)
        examples = list(track(made, "computing features", len(utterances)))
    train, dev, test = (
        [example for utterance, example in zip(utterances, examples, strict=True) if utterance.split == split]
        for split in SPLITS
    )
    return SpeechData(train=train, dev=dev, test=test)


def _make_example(utterance: Utterance, model: SpeechModel) -> Example:
    # Whisper's words carry their leading space, as in what it was trained to write.
    text = model.tokenizer.encode(f" {utterance.text}", add_special_tokens=False)
    return Example(
        id=utterance.id,
        reference=utterance.text,
        features=log_mel(read_audio(utterance.audio), model),
        labels=[*text, model.end_token],
    )


def log_mel(samples: np.ndarray, model: SpeechModel) -> np.ndarray:
    """Log-mel features of one clip, [mel bins, frames], with one frame of silence at its end."""
    length = (len(samples) // _HOP + 1) * _HOP + _TAIL
    padded = model.feature_extractor(
        samples, sampling_rate=SAMPLE_RATE, padding="max_length", max_length=length, return_tensors="np"
    )
    return np.ascontiguousarray(padded["input_features"][0], dtype=np.float32)


def stack_features(examples: Sequence[Example], audio_context_s: float) -> np.ndarray:
    """Pad the features of `examples` to the context: float32, [examples, mel bins, frames]."""
    frames = round(audio_context_s * _FRAMES_PER_S)
    first = examples[0].features
    stacked = np.empty((len(examples), len(first), frames), dtype=np.float32)
    for row, example in zip(stacked, examples, strict=True):
        kept = example.features[:, :frames]
        row[:, : kept.shape[1]] = kept
        row[:, kept.shape[1] :] = example.features[0, -1]
    return stacked
