from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from stt_tune.files import write_atomically, write_json
from stt_tune.results.optimal_config import save_optimal_config
from stt_tune.results.statistics import Gain, paired_gain


def test_the_interval_holds_the_true_gain_as_often_as_it_says() -> None:
    """Over 200 drawn test splits with a true gain of 30 %, the 95 % interval must hold it in 90 to 99 %."""
    rng = np.random.default_rng(0)
    held = 0
    for seed in range(200):
        hardness = rng.gamma(2, 0.5, size=100)
        gain = paired_gain(rng.poisson(hardness), rng.poisson(0.7 * hardness), seed)
        held += gain.low <= 0.3 <= gain.high
    assert 180 <= held <= 198


def test_a_null_gain_is_seldom_called_real() -> None:
    rng = np.random.default_rng(1)
    real = 0
    for seed in range(200):
        hardness = rng.gamma(2, 0.5, size=100)
        real += paired_gain(rng.poisson(hardness), rng.poisson(hardness), seed).is_real
    assert real <= 14  # 2.5 % are expected; 7 % is far out in the tail


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
    assert paired_gain(default, candidate, 0).relative == relative


def test_the_same_seed_gives_the_same_interval() -> None:
    errors = np.random.default_rng(2).poisson(1, size=(2, 50))
    assert paired_gain(errors[0], errors[1], 3) == paired_gain(errors[0], errors[1], 3)


def test_the_file_is_readable_with_short_numbers_and_sorted_keys(tmp_path: Path) -> None:
    path = tmp_path / "optimal_config.json"
    save_optimal_config(path, {"b": 1 / 3, "a": [Gain(0.1, 0, 1).relative], "c": {"rate": 0.000123456789}})
    assert path.read_text() == (
        '{\n  "a": [\n    0.1\n  ],\n  "b": 0.333333,\n  "c": {\n    "rate": 0.000123457\n  }\n}\n'
    )


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
