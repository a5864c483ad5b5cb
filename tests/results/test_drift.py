from __future__ import annotations

import json
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
    # words of an utterance come together: most of them are from its topic
    parts: list[Counter[str]] = [Counter(), Counter(), Counter()]
    for i in range(utterances):
        topic, fate = rng.integers(20), "new" if rng.random() < other_words else "old"
        words = [f"{fate}{topic * 10 + rng.integers(10) if rng.random() < 0.6 else rng.integers(30)}" for _ in range(6)]
        parts[0 if i % 2 == 0 else 1 + (i // 2) % 2].update(words)
    errors = [UtteranceErrors("", "", "", int(wrong), 0, 0, 0, 6, 0, 30) for wrong in rng.binomial(6, wer, utterances)]
    return {
        "utterances": utterances,
        "durations_s": list(longer * rng.gamma(4, 1, utterances)),
        "words": [dict(each) for each in parts],
        "error_types": dict(
            zip(
                ("substitution", "deletion", "insertion", "pronunciation"),
                rng.multinomial(utterances, kinds).tolist(),
                strict=True,
            )
        ),
        "base": profile_errors(errors, "hypotheses"),
    }


@pytest.mark.slow
def test_equal_data_have_seldom_moved() -> None:
    rng = np.random.default_rng(1)
    due = sum(
        is_due(compare_profiles(shorten_profile(_draw(400, rng)), _draw(int(rng.integers(100, 600)), rng)))
        for _ in range(60)
    )
    assert due <= 7


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
    rng = np.random.default_rng(12)
    shifts = compare_profiles(shorten_profile(_draw(400, rng)), _draw(300, rng, **change))
    assert [shift.name for shift in shifts if shift.is_large] == [moved]
    (shift,) = (each for each in shifts if each.name == moved)
    assert told in shift.told
    assert shift.p_value < 0.05
    assert is_due(shifts)


def _many(rng: np.random.Generator, longer: float) -> dict[str, Any]:
    return {**_draw(100, rng), "utterances": 200_000, "durations_s": list(longer * rng.gamma(4, 1, 200_000))}


def test_a_change_beyond_chance_may_be_negligible() -> None:
    rng = np.random.default_rng(3)
    before, after = shorten_profile(_many(rng, 1.0)), _many(rng, 1.02)
    (durations,) = (each for each in compare_profiles(before, after) if each.name == "durations")
    assert durations.p_value < 1e-6
    assert not durations.is_large


@pytest.mark.parametrize("durations", [[10.0] * 300, [0.5, 1.0, 1.5, 2.0] * 75, [15.0] * 200 + [3.3, 4.4] * 50])
def test_durations_that_repeat_have_not_moved(durations: list[float]) -> None:
    profile = {**_draw(300, np.random.default_rng(5)), "durations_s": durations}
    (found,) = (each for each in compare_profiles(shorten_profile(profile), profile) if each.name == "durations")
    assert (found.p_value, found.effect) == (1.0, pytest.approx(0, abs=1e-3))


@pytest.mark.parametrize("new", [150, 500, 5000])
def test_the_effect_does_not_depend_on_how_many_are_new(new: int) -> None:
    rng = np.random.default_rng(6)
    before = shorten_profile({**_draw(100, rng), "utterances": 20_000, "durations_s": list(rng.gamma(4, 1, 20_000))})
    after = {**_draw(100, rng), "durations_s": list(1.5 * rng.gamma(4, 1, new))}
    (found,) = (each for each in compare_profiles(before, after) if each.name == "durations")
    assert found.is_large
    assert 0.25 < found.effect < 0.5


def test_what_is_not_known_is_not_compared() -> None:
    rng = np.random.default_rng(4)
    before, after = shorten_profile(_draw(100, rng)), _draw(100, rng)
    after["base"]["source"] = "base model"
    del after["error_types"]
    assert [each.name for each in compare_profiles(before, after)] == ["durations", "vocabulary"]
    assert compare_profiles({}, after) == []


def _all_alike(wer: float, utterances: int) -> dict[str, Any]:
    return {"base": {"source": "hypotheses", "mean": wer, "sd": 0.0, "utterances": utterances}}


@pytest.mark.parametrize(
    ("before", "now", "utterances", "moved"),
    [
        (0.2, 0.9, 100, True),
        (1.0, 0.0, 100, True),
        (0.2, 0.2, 100, False),
        (0.1 + 0.2, 0.3, 100, False),
        (0.2, 0.9, 1, False),  # one utterance of each tells nothing
        (0.2, 0.9, 3, False),
    ],
)
def test_error_rates_that_do_not_vary_have_moved_where_they_differ(
    before: float, now: float, utterances: int, moved: bool
) -> None:
    (found,) = compare_profiles(_all_alike(before, utterances), _all_alike(now, utterances))
    assert (found.name, found.is_large) == ("base WER", moved)
    assert json.loads(json.dumps(found.effect, allow_nan=False)) * (now - before) >= 0
