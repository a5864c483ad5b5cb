from __future__ import annotations

import math

import jiwer
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stt_tune.speech.normalisers import describe_normaliser, find_normaliser, load_normaliser
from stt_tune.speech.rates import count_errors, summarise
from stt_tune.speech.sounds import sounds_alike
from tests.speech.sounds import ALIKE, DIFFERENT, pairs

_WORDS = st.lists(st.sampled_from(["alpha", "beta", "gamma", "delta", "epsilon"]), min_size=1, max_size=8).map(" ".join)
_HEARD = st.lists(st.sampled_from(["alpha", "beta", "gamma", "delta", "zeta"]), max_size=10).map(" ".join)
_PAIRS = st.lists(st.tuples(_WORDS, _HEARD), min_size=1, max_size=6)


@settings(max_examples=350)  # of 1 to 6 pairs each: over 1000
@given(_PAIRS)
def test_counts_add_up_and_equal_jiwer(pairs: list[tuple[str, str]]) -> None:
    references, hypotheses = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    ids = [str(i) for i in range(len(pairs))]
    utterances = count_errors(ids, references, hypotheses, load_normaliser("none"))
    for utterance, (reference, hypothesis) in zip(utterances, pairs, strict=True):
        hits = utterance.words - utterance.substitutions - utterance.deletions
        assert 0 <= hits <= utterance.words == len(reference.split())
        assert hits + utterance.substitutions + utterance.insertions == len(hypothesis.split())
    rates = summarise(utterances)
    assert rates.wer == pytest.approx(jiwer.wer(references, hypotheses))
    assert rates.cer == pytest.approx(jiwer.cer(references, hypotheses))
    assert rates.ser == sum(reference != heard for reference, heard in pairs) / len(pairs)
    assert rates.pronunciations <= rates.substitutions
    assert rates.wer == pytest.approx(rates.substitutions + rates.deletions + rates.insertions)


def test_each_kind_of_error_is_counted_as_what_it_is() -> None:
    (heard,) = count_errors(["a"], ["one two three"], ["one too three four"], load_normaliser("basic"))
    assert (heard.substitutions, heard.deletions, heard.insertions, heard.words) == (1, 0, 1, 3)
    (silent,) = count_errors(["a"], ["one two"], [""], load_normaliser("basic"))
    assert (silent.deletions, silent.errors) == (2, 2)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("none", " Hello,  World ", "Hello, World"),
        ("basic", "Hello, World!", "hello world"),
        ("english", "The colour isn't grey.", "the color is not gray"),
        ("digits", "7, 85 and nine.", "seven eight five and nine"),
        ("multilingual", "नमस्ते, दुनिया!", "नमस्ते दुनिया"),
        ("multilingual", "ﬁne — Straße №1 ½", "fine strasse no1 1 2"),
        ("multilingual", "\u0915\u094d\u200d\u0937", "\u0915\u094d\u0937"),  # a joiner, which is not seen
    ],
)
def test_normalisers_do_what_their_name_says(name: str, text: str, expected: str) -> None:
    assert load_normaliser(name)(text) == expected


def test_whispers_own_normaliser_loses_vowel_signs_and_ours_does_not() -> None:
    assert load_normaliser("basic")("की") == load_normaliser("basic")("का")
    assert load_normaliser("multilingual")("की") != load_normaliser("multilingual")("का")


def test_the_normaliser_is_found_by_language_and_named_with_its_version() -> None:
    assert [find_normaliser("auto", language) for language in ("en", "hi", "de")] == [
        "basic",
        "multilingual",
        "multilingual",
    ]
    assert describe_normaliser("multilingual") == "multilingual/1"
    assert describe_normaliser("basic").startswith("basic/1 whisper-normalizer/0.")


def test_an_empty_reference_has_insertions_only() -> None:
    heard, silent, both = count_errors(
        ["a", "b", "c"], ["", "one", "..."], ["two words", "", ""], load_normaliser("basic")
    )
    assert (heard.insertions, heard.errors, heard.words, heard.kind) == (2, 2, 0, "insertion")
    assert (silent.deletions, silent.errors, silent.kind) == (1, 1, "deletion")
    assert (both.errors, both.words, both.kind) == (0, 0, None)
    assert summarise([heard, silent]).wer == 3
    assert summarise([heard]).wer == math.inf
    assert summarise([both]).wer == 0


@pytest.mark.parametrize(
    ("reference", "hypothesis", "kind"),
    [
        ("one two three", "one two three", None),
        ("one two three", "one cat three", "substitution"),
        ("one two three", "one three", "deletion"),
        ("one two three", "one two two three", "insertion"),
        ("one two three", "one too three", "pronunciation"),
        ("pick the box", "pick the books now please", "insertion"),
        ("pick the box", "kick the cat", "substitution"),
        ("two one", "too one three", "insertion"),  # as many of each: the first in the list of kinds
    ],
)
def test_a_case_is_of_the_kind_of_most_of_its_errors(reference: str, hypothesis: str, kind: str | None) -> None:
    assert count_errors(["a"], [reference], [hypothesis], load_normaliser("basic"))[0].kind == kind


def test_sounding_alike_agrees_with_the_ear() -> None:
    alike, different = pairs(ALIKE), pairs(DIFFERENT)
    assert (len(alike), len(different)) == (84, 68)
    assert sum(sounds_alike(*pair) for pair in alike) >= 0.95 * len(alike)
    assert sum(not sounds_alike(*pair) for pair in different) >= 0.94 * len(different)
    assert all(sounds_alike(a, b) == sounds_alike(b, a) for a, b in (*alike, *different))
    assert sounds_alike("नमस्ते", "नमस्त")
    assert not sounds_alike("नमस्ते", "दुनिया")


def test_an_unknown_normaliser_is_refused() -> None:
    with pytest.raises(ValueError, match=r"normaliser must be one of auto, .*, multilingual, found \'klingon\'"):
        load_normaliser("klingon")
