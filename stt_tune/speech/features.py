"""Turn utterances into what a trial trains on: features and token ids, made once."""

from __future__ import annotations

from collections.abc import Sequence

from stt_tune.speech.example import Example, SpeechData
from stt_tune.speech.families.base import SpeechModel
from stt_tune.speech.inspection import cache_folder
from stt_tune.speech.kinds import find_kind
from stt_tune.speech.manifest import SPLITS, Utterance, read_clip
from stt_tune.speech.normalisers import Normalise
from stt_tune.speech.store import load_features


def prepare(
    utterances: Sequence[Utterance],
    model: SpeechModel,
    normalise: Normalise,
    replay: Sequence[Utterance] = (),
    guard: Sequence[Utterance] = (),
) -> SpeechData:
    """Compute features and labels for every utterance.

    Args:
        utterances: Each of them has a split.
        model: What they are prepared for.
        normalise: Tells which words are the same, to find out what the production system got wrong.
        replay: What the system gets right today, to be mixed in.
        guard: What it gets right today, and has to go on getting right.
    """
    examples = make_examples(utterances, model, normalise)
    train, dev, test = (
        [example for utterance, example in zip(utterances, examples, strict=True) if utterance.split == split]
        for split in SPLITS
    )
    return SpeechData(
        train=train,
        dev=dev,
        test=test,
        replay=make_examples(replay, model, normalise),
        guard=make_examples(guard, model, normalise),
    )


def make_examples(utterances: Sequence[Utterance], model: SpeechModel, normalise: Normalise) -> list[Example]:
    """Compute features and labels, or find them where they were computed before."""
    features = load_features(
        cache_folder(),
        model.feature_setting,
        [utterance.audio_hash for utterance in utterances],
        [utterance.duration_s for utterance in utterances],
        lambda i: model.compute_features(read_clip(utterances[i])),
    )
    kinds = [find_kind(utterance, normalise) for utterance in utterances]
    return [
        Example(
            id=utterance.id,
            reference=utterance.text,
            features=array,
            labels=model.encode(utterance.text),
            kind=kind,
            is_labelled=kind is not None or utterance.hypothesis is not None,
            speaker=utterance.speaker,
            session=utterance.session,
        )
        for utterance, array, kind in zip(utterances, features, kinds, strict=True)
    ]
