from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from stt_tune.results import statistics
from stt_tune.results.confirmation import (
    CANDIDATE,
    CROSS,
    DEFAULT,
    INCUMBENT,
    ONE,
    SEPARATE,
    System,
    choose_blocks,
    confirm,
)
from tests.results.simulate import Speech

_RETUNES = 200
_MIN_GAIN = 0.05


def _system(role: str, errors: np.ndarray, name: str = "", **more: object) -> System:
    return System(role, name or role, {"learning_rate": 1e-5}, errors, **more)  # type: ignore[arg-type]


def _retune(utterances: int, sd: float, rng: np.random.Generator, factor: float, trainings: int = 3) -> bool:
    """One re-tune: does what dev likes best of 4, trained anew with the incumbent, replace it?"""
    test = Speech.draw(utterances, rng)
    systems = [
        _system(INCUMBENT, test.train(trainings, sd, rng)),
        _system(CANDIDATE, test.train(trainings, sd, rng, factor)),
    ]
    blocks = np.arange(utterances)
    return confirm(systems, test.words, blocks, seed=int(rng.integers(1 << 30)), min_gain=_MIN_GAIN).is_better


def _plain_rule(utterances: int, sd: float, rng: np.random.Generator) -> bool:
    """The same by dev alone: is the best of 4 new ones 5 % better than the incumbent?"""
    dev = Speech.draw(utterances, rng)
    incumbent, *others = dev.train(5, sd, rng).sum(axis=1)
    return bool(min(others) < (1 - _MIN_GAIN) * incumbent)


def test_equal_configurations_seldom_replace_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    """The null experiment: 200 re-tunes, 100 to 1000 utterances, trainings alike or 3 or 6 % apart."""
    rng = np.random.default_rng(0)
    replaced, plain = {0.0: 0, 0.03: 0, 0.06: 0}, 0
    for i in range(_RETUNES):
        sd = (0.0, 0.03, 0.06)[i % 3]
        utterances = int(np.exp(rng.uniform(np.log(100), np.log(1000))))
        replaced[sd] += _retune(utterances, sd, rng, factor=1.0)
        plain += _plain_rule(utterances, sd, rng)
    with capsys.disabled():
        print(f"\nnull: {sum(replaced.values())} of {_RETUNES} replaced ({replaced}); by the plain 5 % rule {plain}")  # noqa: T201
    assert sum(replaced.values()) <= 0.05 * _RETUNES
    assert 0.2 * _RETUNES <= plain <= 0.5 * _RETUNES


def test_a_true_gain_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    """The power experiment: 20 % fewer errors, 500 utterances, trainings 3 % apart."""
    rng = np.random.default_rng(1)
    found = sum(_retune(500, 0.03, rng, factor=0.8) for _ in range(50))
    with capsys.disabled():
        print(f"\npower: {found} of 50 true gains of 20 % found")  # noqa: T201
    assert found >= 40


@pytest.fixture
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enough to tell many simulations apart, in a fifth of the time."""
    monkeypatch.setattr(statistics, "_RESAMPLES", 999)


@pytest.mark.usefixtures("few_resamples")
def test_once_trained_is_not_enough_where_trainings_differ() -> None:
    """Why each system is trained more than once: otherwise luck of the seed passes for a gain."""
    rng = np.random.default_rng(2)
    once, thrice = (sum(_retune(500, 0.06, rng, 1.0, trainings) for _ in range(30)) for trainings in (1, 3))
    assert thrice <= 5
    assert once > thrice


@pytest.mark.usefixtures("few_resamples")
@pytest.mark.parametrize("utterances", [150, pytest.param(600, marks=pytest.mark.slow)])
def test_the_best_of_equal_candidates_is_measured_without_flattery(utterances: int) -> None:
    """Choosing among ten equals and measuring on the same utterances would show a gain on average."""
    rng = np.random.default_rng(utterances)
    honest, flattering = [], []
    for seed in range(20):
        speech = Speech.draw(utterances, rng)
        systems = [_system(DEFAULT, speech.train(1, 0.0, rng))]
        systems += [_system(CANDIDATE, speech.train(1, 0.0, rng), f"trial {i}") for i in range(10)]
        verdict = confirm(systems, speech.words, np.arange(utterances), seed=seed)
        assert verdict.gain is not None
        honest.append(verdict.gain.relative)
        totals = [each.errors.sum() for each in systems]
        flattering.append(1 - min(totals[1:]) / totals[0])
    assert abs(np.mean(honest)) < 0.02
    assert np.mean(flattering) > np.mean(honest) + 0.02


@pytest.mark.parametrize(("utterances", "how"), [(600, SEPARATE), (100, CROSS)])
def test_choosing_and_measuring_share_no_utterance(utterances: int, how: str) -> None:
    """A candidate that is better only where it is not measured must not seem better."""
    rng = np.random.default_rng(3)
    speech = Speech.draw(utterances, rng)
    errors = speech.train(1, 0.0, rng)
    blocks = np.arange(utterances)
    systems = [_system(DEFAULT, errors), _system(CANDIDATE, errors, "a"), _system(CANDIDATE, errors + 1, "b")]
    first = confirm(systems, speech.words, blocks, seed=0)
    assert first.how == how
    assert len(first.measured) == (300 if how == SEPARATE else 100)
    assert first.chosen is not None
    assert first.chosen.system.name == "a"
    if how == SEPARATE:
        lucky = errors.copy()
        lucky[:, np.setdiff1d(blocks, first.measured)] = 0
        verdict = confirm([*systems[:2], _system(CANDIDATE, lucky, "lucky")], speech.words, blocks, seed=0)
        assert verdict.chosen is not None
        assert verdict.chosen.system.name == "lucky"
        assert verdict.gain is not None
        assert (verdict.gain.relative, verdict.is_better) == (0, False)
    one = confirm(systems[:2], speech.words, blocks, seed=0)
    assert (one.how, len(one.measured)) == (ONE, utterances)


def test_what_is_printed_of_the_choice_is_measured_with_it() -> None:
    """In cross-fitting, too: the error rate and the gain are of the same utterances and choices."""
    rng = np.random.default_rng(9)
    speech = Speech.draw(150, rng)
    systems = [_system(DEFAULT, speech.train(1, 0.0, rng))]
    systems += [_system(CANDIDATE, speech.train(1, 0.0, rng), str(i)) for i in range(5)]
    verdict = confirm(systems, speech.words, np.arange(150), seed=0)
    assert verdict.how == CROSS
    assert verdict.gain is not None
    assert verdict.reference.wer is not None
    assert verdict.wer is not None
    assert verdict.gain.relative == pytest.approx(1 - verdict.wer.value / verdict.reference.wer.value)
    assert verdict.wer.low < verdict.wer.value < verdict.wer.high


@pytest.mark.parametrize("count", [6, 20])
def test_a_block_is_never_divided_and_six_are_enough_to_decide(count: int) -> None:
    rng = np.random.default_rng(4)
    speech = Speech.draw(700, rng)
    blocks = np.arange(700) % count
    systems = [_system(DEFAULT, speech.train(2, 0.0, rng))]
    systems += [_system(CANDIDATE, speech.train(2, 0.0, rng, factor=0.4), str(i)) for i in range(3)]
    verdict = confirm(systems, speech.words, blocks, seed=0)
    measured = set(blocks[verdict.measured])
    assert verdict.blocks == len(measured) == (6 if count == 6 else 10)
    assert len(verdict.measured) == np.isin(blocks, list(measured)).sum()
    assert verdict.is_better


def test_what_diverged_or_forgot_is_not_chosen() -> None:
    rng = np.random.default_rng(5)
    speech = Speech.draw(200, rng)
    default = speech.train(3, 0.0, rng)
    systems = [
        _system(DEFAULT, default),
        _system(CANDIDATE, default[:2] * 0.1, "diverged", diverged=1),
        _system(CANDIDATE, default * 0.1, "forgot", refused="the guard's WER rises"),
        _system(CANDIDATE, default * 0.5, "good"),
        _system(CANDIDATE, np.zeros((0, 0)), "never ended", diverged=3),
    ]
    verdict = confirm(systems, speech.words, np.arange(200), seed=0)
    assert verdict.chosen is not None
    assert verdict.chosen.system.name == "good"
    assert verdict.is_better
    assert verdict.gain is not None
    assert verdict.gain.relative == pytest.approx(0.5)
    table = {
        each.system.name: each.to_dict(verdict.words, verdict.measured, verdict.reference.system)
        for each in verdict.systems
    }
    assert table["diverged"]["objection"] == "diverged in 1 of 3 trainings"
    assert table["forgot"]["objection"] == "the guard's WER rises"
    assert table["never ended"]["wer"] is None
    only_bad = confirm([systems[0], *systems[1:3]], speech.words, np.arange(200), seed=0)
    assert (only_bad.chosen, only_bad.gain, only_bad.is_better) == (None, None, False)


def test_the_incumbent_is_to_be_beaten_where_there_is_one() -> None:
    rng = np.random.default_rng(6)
    speech = Speech.draw(400, rng)
    default = speech.train(2, 0.0, rng)
    systems = [
        _system(DEFAULT, default),
        _system(INCUMBENT, default * 0.5),
        _system(CANDIDATE, default * 0.5),
    ]
    verdict = confirm(systems, speech.words, np.arange(400), seed=0)
    assert verdict.reference.system.role == INCUMBENT
    assert not verdict.is_better
    diverged = replace(systems[1], errors=np.zeros((0, 0)), diverged=2)
    assert confirm([systems[0], diverged, systems[2]], speech.words, np.arange(400), seed=0).is_better
    with pytest.raises(ValueError, match="nothing to compare with"):
        confirm([diverged, systems[2]], speech.words, np.arange(400), seed=0)


@pytest.mark.parametrize(("min_gain", "is_better"), [(0.0, True), (0.19, True), (0.21, False)])
def test_a_gain_must_be_as_large_as_asked_for(min_gain: float, is_better: bool) -> None:
    errors = np.full((3, 300), 5.0)
    systems = [_system(DEFAULT, errors), _system(CANDIDATE, errors * 0.8)]
    assert confirm(systems, np.full(300, 10), np.arange(300), seed=0, min_gain=min_gain).is_better is is_better


def test_blocks_are_speakers_or_sessions_where_there_are_enough() -> None:
    six = [f"s{i % 6}" for i in range(12)]
    assert choose_blocks(six, [None] * 12)[1] == "speaker"
    assert choose_blocks([None, *six[1:]], six)[1] == "session"
    blocks, by = choose_blocks(["one"] * 12, [None] * 12)
    assert (by, list(blocks)) == ("utterance", list(range(12)))
