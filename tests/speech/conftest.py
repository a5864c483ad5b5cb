from __future__ import annotations

from pathlib import Path

import pytest

from stt_tune.speech.example import SpeechData
from stt_tune.speech.families.base import SpeechModel
from stt_tune.speech.features import prepare
from stt_tune.speech.manifest import read_manifest
from stt_tune.speech.model import load_model
from stt_tune.speech.normalisers import load_normaliser


@pytest.fixture(scope="session")
def tiny() -> SpeechModel:
    """Whisper tiny.en with OpenAI's weights."""
    return load_model("tiny.en")


@pytest.fixture(scope="session")
def speech(corpus: Path, tiny: SpeechModel) -> SpeechData:
    """The small synthesised corpus, prepared for tiny.en."""
    utterances, rejected = read_manifest(corpus, max_duration_s=30, normalise=load_normaliser("basic"))
    assert not rejected
    return prepare(utterances, tiny)
