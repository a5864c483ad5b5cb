"""A short training of random weights, timed."""

from __future__ import annotations

import pytest

from stt_tune.bench.throughput import bench_throughput
from stt_tune.errors import SettingsError


def test_a_training_and_its_evaluation_are_timed_apart() -> None:
    result = bench_throughput("whisper-tiny", 1.0, batch_size=2, batches=2, seed=0)
    assert result["samples_per_second"] > 0
    assert result["decoded_per_second"] > 0
    assert 0 < result["evaluation_share"] < 1
    assert 0 < result["flop_utilisation"] < 2  # a noisy machine's peak is measured at another moment
    assert result["peak_memory_gb"] > 0.1
    assert result["micro_batch"] == 2
    assert 0 < result["checkpoint_wait_s"] <= result["checkpoint_s"]


def test_what_cannot_be_timed_is_told_at_once() -> None:
    with pytest.raises(SettingsError) as refused:
        bench_throughput("whisper-huge", 31.0, batch_size=0, batches=1, seed=0)
    assert "--model must be one of whisper-tiny, whisper-base" in str(refused.value)
    assert "--context must be from 1 to 30 seconds, found 31.0" in str(refused.value)
    assert "--batch-size must be at least 1, found 0" in str(refused.value)
