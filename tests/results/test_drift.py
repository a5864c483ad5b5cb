from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from stt_tune.results.drift import compare_profiles, is_due
from stt_tune.run.profile import profile_errors, shorten_profile
from stt_tune.speech.rates import UtteranceErrors


def _draw(
    utterances: int,
    rng: np.random.Generator,
    *,
    longer: float = 1.0,
    kinds: tuple[float, ...] = (0.5, 0.2, 0.2, 0.1),
    other_words: float = 0.0,
    wer: float = 0.3,
) -> dict[str, Any]:
    halves = []
    for _half in range(2):
        words = rng.zipf(1.5, 3 * utterances) % 300
        names = [f"{'new' if rng.random() < other_words else 'old'}{word}" for word in words]
        halves.append(dict(Counter(names)))
    errors = [UtteranceErrors("", "", "", int(wrong), 0, 0, 0, 6, 0, 30) for wrong in rng.binomial(6, wer, utterances)]
    return {
        "utterances": utterances,
        "durations_s": list(longer * rng.gamma(4, 1, utterances)),
        "words": halves,
        "error_types": dict(
            zip(
                ("substitution", "deletion", "insertion", "pronunciation"),
                rng.multinomial(utterances, kinds).tolist(),
                strict=True,
            )
        ),
        "base": profile_errors(errors, "hypotheses"),
    }


def test_equal_data_have_seldom_moved() -> None:
    rng = np.random.default_rng(1)
    due = sum(
        is_due(compare_profiles(shorten_profile(_draw(400, rng)), _draw(int(rng.integers(100, 600)), rng)))
        for _ in range(100)
    )
    assert due <= 10


@pytest.mark.parametrize(
    ("change", "moved", "told"),
    [
        ({"longer": 1.6}, "durations", "median"),
        ({"kinds": (0.4, 0.45, 0.1, 0.05)}, "error types", "deletion, +"),
        ({"other_words": 0.4}, "vocabulary", "others, +"),
        ({"wer": 0.45}, "base WER", "an utterance, now 0.4"),
        ({"wer": 0.15}, "base WER", "an utterance, now 0.1"),
    ],
)
def test_what_has_moved_is_named(change: dict[str, Any], moved: str, told: str) -> None:
    rng = np.random.default_rng(2)
    shifts = compare_profiles(shorten_profile(_draw(400, rng)), _draw(300, rng, **change))
    assert [shift.name for shift in shifts if shift.is_large] == [moved]
    (shift,) = (each for each in shifts if each.name == moved)
    assert told in shift.told
    assert shift.p_value < 0.05
    assert is_due(shifts)


def test_a_change_beyond_chance_may_be_negligible() -> None:
    rng = np.random.default_rng(3)
    before, after = shorten_profile(_draw(200_000, rng)), _draw(200_000, rng, longer=1.02)
    (durations,) = (each for each in compare_profiles(before, after) if each.name == "durations")
    assert durations.p_value < 1e-6
    assert not durations.is_large


def test_what_is_not_known_is_not_compared() -> None:
    rng = np.random.default_rng(4)
    before, after = shorten_profile(_draw(100, rng)), _draw(100, rng)
    after["base"]["source"] = "base model"
    del after["error_types"]
    assert [each.name for each in compare_profiles(before, after)] == ["durations", "vocabulary"]
    assert compare_profiles({}, after) == []
