"""Turn utterances into what a trial trains on: features and token ids, made once."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from stt_tune.progress import track
from stt_tune.speech.audio import read_audio
from stt_tune.speech.example import Example, SpeechData
from stt_tune.speech.families.base import SpeechModel
from stt_tune.speech.manifest import SPLITS, Utterance
from stt_tune.speech.normalisers import Normalise
from stt_tune.speech.rates import count_errors


def prepare(
    utterances: Sequence[Utterance], model: SpeechModel, normalise: Normalise, replay: Sequence[Utterance] = ()
) -> SpeechData:
    """Compute features and labels for every utterance.

    Args:
        utterances: Each of them has a split.
        model: What they are prepared for.
        normalise: Tells which words are the same, to find out what the production system got wrong.
        replay: What the system gets right today.
    """
    examples = _make_examples(utterances, model, normalise)
    train, dev, test = (
        [example for utterance, example in zip(utterances, examples, strict=True) if utterance.split == split]
        for split in SPLITS
    )
    return SpeechData(train=train, dev=dev, test=test, replay=_make_examples(replay, model, normalise))


def _make_examples(utterances: Sequence[Utterance], model: SpeechModel, normalise: Normalise) -> list[Example]:
    with ThreadPoolExecutor() as pool:
        made = pool.map(lambda utterance: _make_example(utterance, model, normalise), utterances)
        return list(track(made, "computing features", len(utterances)))


def _make_example(utterance: Utterance, model: SpeechModel, normalise: Normalise) -> Example:
    kind = utterance.error_type
    if kind is None and utterance.hypothesis is not None:
        kind = count_errors([utterance.id], [utterance.text], [utterance.hypothesis], normalise)[0].kind
    return Example(
        id=utterance.id,
        reference=utterance.text,
        features=model.compute_features(read_audio(utterance.audio)),
        labels=model.encode(utterance.text),
        kind=kind,
        is_labelled=kind is not None or utterance.hypothesis is not None,
    )
