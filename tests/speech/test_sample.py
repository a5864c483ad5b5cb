"""The part of dev that early epochs are measured on."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from stt_tune.speech.example import Example, SpeechData
from stt_tune.speech.families.base import SpeechModel
from stt_tune.speech.finetune import TrainingSettings, finetune
from stt_tune.speech.report import EpochReport
from stt_tune.speech.sample import sample


def _make(number: int, kind: str | None = None) -> Example:
    return Example(str(number), "one two three four five six seven eight nine ten", np.zeros(1), [], kind)


def test_a_small_split_is_taken_whole() -> None:
    few = [_make(i) for i in range(90)]
    assert sample(few) == few


def test_of_a_large_one_the_same_thousand_words_are_drawn_each_time() -> None:
    many = [_make(i) for i in range(500)]
    drawn = sample(many)
    assert len(drawn) == 100
    assert drawn == sample(many)
    numbers = [int(each.id) for each in drawn]
    assert numbers == sorted(numbers)
    assert numbers[-1] > 400  # from all over


def test_rare_kinds_of_error_are_drawn_until_their_rate_means_something() -> None:
    many = [_make(i, "substitution" if i % 20 else "deletion") for i in range(1000)]
    counts = Counter(each.kind for each in sample(many))
    assert counts["deletion"] == 30
    assert 90 <= counts["substitution"] <= 100


def test_only_the_last_epoch_is_measured_on_all(
    tiny: SpeechModel, speech: SpeechData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stt_tune.speech.sample._WORDS", 10)
    monkeypatch.setattr("stt_tune.speech.sample._WORDS_OF_A_KIND", 0)
    reports: list[EpochReport] = []
    few = replace(speech, train=speech.train[:4])
    settings = TrainingSettings(seed=0, audio_context_s=None, normaliser="basic")
    finetune({"learning_rate": 1e-5, "batch_size": 4, "epochs": 2}, few, tiny, reports.append, settings)
    early, last = reports
    assert early.dev_utterances == len(early.utterances) < 4
    assert last.dev_utterances == len(last.utterances) == len(speech.dev)
    assert {each["id"] for each in early.utterances} == {each.id for each in sample(speech.dev)}
