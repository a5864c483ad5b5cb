from __future__ import annotations

import jiwer
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stt_tune.speech.normalisers import load_normaliser
from stt_tune.speech.rates import count_errors, summarise

_WORDS = st.lists(st.sampled_from(["alpha", "beta", "gamma", "delta", "epsilon"]), min_size=1, max_size=8).map(" ".join)
_HEARD = st.lists(st.sampled_from(["alpha", "beta", "gamma", "delta", "zeta"]), max_size=10).map(" ".join)
_PAIRS = st.lists(st.tuples(_WORDS, _HEARD), min_size=1, max_size=6)


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
    ],
)
def test_normalisers_do_what_their_name_says(name: str, text: str, expected: str) -> None:
    assert load_normaliser(name)(text) == expected


def test_an_unknown_normaliser_is_refused() -> None:
    with pytest.raises(ValueError, match="normaliser must be one of none, basic, english, digits, found 'klingon'"):
        load_normaliser("klingon")
