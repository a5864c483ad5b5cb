"""The time of trials that do nothing, on a real Ray."""

from __future__ import annotations

import pytest

from stt_tune.bench.overhead import bench_overhead
from stt_tune.errors import SettingsError


@pytest.mark.usefixtures("ray_session")
def test_both_sweeps_are_timed_from_start_to_end() -> None:
    result = bench_overhead(trials=4, wandb_trials=2)
    assert result["seconds_per_trial"] == pytest.approx(result["seconds"] / 4)
    assert result["seconds_per_trial_wandb"] == pytest.approx(result["seconds_wandb"] / 2)
    assert result["seconds"] > 0
    assert result["cores"] >= 1


def test_less_than_one_trial_is_refused() -> None:
    with pytest.raises(SettingsError, match="--wandb-trials must be at least 1, found 0"):
        bench_overhead(trials=1, wandb_trials=0)
