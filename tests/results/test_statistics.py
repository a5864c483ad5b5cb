from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from stt_tune.files import remove_leftovers, write_atomically, write_json
from stt_tune.results import statistics
from stt_tune.results.statistics import Gain, TrainingNoise, compare, correct, find_noise, find_rate


@pytest.fixture
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enough for many simulations, in a fifth of the time."""
    monkeypatch.setattr(statistics, "_RESAMPLES", 999)


@pytest.mark.usefixtures("few_resamples")
def test_the_interval_holds_the_true_gain_as_often_as_it_says() -> None:
    """Over 200 drawn test splits with a true gain of 30 %, the 95 % interval must hold it in 90 to 99 %."""
    rng = np.random.default_rng(0)
    held = 0
    for seed in range(200):
        hardness = rng.gamma(2, 0.5, size=(1, 100))
        gain = compare(rng.poisson(hardness), rng.poisson(0.7 * hardness), seed=seed)
        held += gain.low <= 0.3 <= gain.high
    assert 180 <= held <= 198


@pytest.mark.usefixtures("few_resamples")
def test_a_null_gain_is_seldom_called_real() -> None:
    rng = np.random.default_rng(1)
    real = 0
    for seed in range(200):
        hardness = rng.gamma(2, 0.5, size=(1, 100))
        real += compare(rng.poisson(hardness), rng.poisson(hardness), seed=seed).is_real
    assert real <= 14  # 2.5 % are expected; 7 % is far out in the tail


@pytest.mark.usefixtures("few_resamples")
@pytest.mark.parametrize("speakers", [6, 20])
def test_speakers_who_gain_differently_widen_the_interval_by_as_much_as_they_do(speakers: int) -> None:
    """The interval must hold the gain over all speakers; resampled one by one, utterances hide how they differ."""
    rng = np.random.default_rng(speakers)
    expected = 1 - np.exp(0.25**2 / 2)
    held = {"speakers": 0, "utterances": 0}
    for seed in range(150):
        hardness, change = rng.gamma(2, 0.5, speakers), np.exp(rng.normal(0, 0.25, speakers))
        who = np.repeat(np.arange(speakers), 300 // speakers)
        before, after = rng.poisson(hardness[who])[None], rng.poisson((hardness * change)[who])[None]
        for name, blocks in (("speakers", who), ("utterances", None)):
            gain = compare(before, after, blocks, seed=seed)
            held[name] += gain.low <= expected <= gain.high
    assert held["speakers"] >= 0.9 * 150
    assert held["utterances"] < held["speakers"]


@pytest.mark.parametrize(
    ("default", "candidate", "relative"),
    [
        ([2, 2], [1, 1], 0.5),
        ([0, 0], [0, 0], 0.0),
        ([1, 0], [1, 0], 0.0),
        ([0, 0], [1, 1], -2.0),
        ([1, 1], [3, 3], -2.0),
    ],
)
def test_the_gain_is_the_share_of_errors_that_went_away(
    default: list[int], candidate: list[int], relative: float
) -> None:
    assert compare(np.array([default]), np.array([candidate])).relative == relative


def test_the_same_seed_gives_the_same_interval() -> None:
    errors = np.random.default_rng(2).poisson(1, size=(2, 50))
    assert compare(errors[:1], errors[1:], seed=3) == compare(errors[:1], errors[1:], seed=3)


def test_the_test_is_wilcoxons_on_the_blocks() -> None:
    rng = np.random.default_rng(4)
    before, after = rng.poisson(2, size=(2, 60)), rng.poisson(1.5, size=(2, 60))
    blocks = np.arange(60) // 3
    totals = [each.mean(axis=0).reshape(20, 3).sum(axis=1) for each in (before, after)]
    assert (
        compare(before, after, blocks).p_value
        == stats.wilcoxon(*totals, zero_method="pratt", alternative="greater").pvalue
    )


def test_thirds_that_are_equal_make_no_difference() -> None:
    rng = np.random.default_rng(8)
    before, after = rng.poisson(2, size=(3, 120)) / 1.0, rng.poisson(2, size=(3, 120)) / 1.0
    blocks = np.arange(120) // 6
    exact = [each.sum(axis=0).reshape(20, 6).sum(axis=1) for each in (before, after)]
    expected = stats.wilcoxon(*exact, zero_method="pratt", alternative="greater").pvalue
    assert compare(before, after, blocks).p_value == pytest.approx(expected)


def test_p_values_of_several_comparisons_are_raised_as_holm_does() -> None:
    gains = [Gain(0.1, 0.01, 0.2, p_value) for p_value in (0.04, 0.01, 0.03)]
    assert [each.p_value for each in correct(gains)] == pytest.approx([0.06, 0.03, 0.06])
    assert correct([]) == []


def test_the_noise_of_training_is_found_beyond_that_of_utterances() -> None:
    rng = np.random.default_rng(5)
    for sd in (0.0, 0.1):
        systems = [
            np.stack([rng.poisson(2 * np.exp(rng.normal(0, sd)), 400) for _training in range(3)])
            for _system in range(100)
        ]
        noise = find_noise(systems)
        assert noise.df == 200
        assert abs(noise.sd - sd) < 0.02
    assert find_noise([np.ones((1, 5)), np.zeros((0, 5))]) == TrainingNoise()


def test_no_error_seen_does_not_make_certain() -> None:
    before, after = np.full((1, 12), 1.0), np.zeros((1, 12))
    gain = compare(before, after)
    assert gain.relative == 1.0
    assert 0.5 < gain.low < 0.8  # 3.7 of 12 errors may be expected, where none was seen
    rate = find_rate(after, np.full(12, 4), np.arange(12))
    assert (rate.low, rate.value) == (0.0, 0.0)
    assert 0.05 < rate.high < 0.12


def test_noise_widens_the_interval_and_leaves_the_gain() -> None:
    rng = np.random.default_rng(6)
    before, after = rng.poisson(3, size=(3, 200)), rng.poisson(2, size=(3, 200))
    calm, noisy = compare(before, after), compare(before, after, noise=TrainingNoise(0.1, 4))
    assert calm.relative == noisy.relative
    assert noisy.low < calm.low < calm.high < noisy.high


def test_an_interval_has_an_end_however_far_two_trainings_on_little_speech_lie_apart() -> None:
    errors = np.array([[2, 2], [0, 0]])
    found = find_rate(errors, np.array([4, 4]), np.array([0, 1]), noise=find_noise([errors]))
    assert 0 <= found.low < found.value < found.high < 1000


def test_an_error_rate_lies_in_its_interval() -> None:
    rng = np.random.default_rng(7)
    words = rng.integers(2, 9, 300)
    errors = rng.binomial(words, 0.2, size=(2, 300))
    rate = find_rate(errors, words, np.arange(300))
    assert rate.value == pytest.approx(errors.mean(axis=0).sum() / words.sum())
    assert rate.low < 0.2 < rate.high
    assert rate.high - rate.low < 0.05


def test_a_crash_while_writing_leaves_the_old_file_and_no_rubbish(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    write_json(path, {"old": True})

    def crash(file: Path) -> None:
        file.write_text("half")
        raise OSError(28, os.strerror(28))

    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, crash)
    assert json.loads(path.read_text()) == {"old": True}
    assert list(tmp_path.iterdir()) == [path]
    (tmp_path / ".file.json.abc.tmp").touch()
    remove_leftovers(path)
    assert list(tmp_path.iterdir()) == [path]
