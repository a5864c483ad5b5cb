"""What is asked before trials share a GPU."""

from __future__ import annotations

import pytest
import torch

from stt_tune.bench import packing
from stt_tune.bench.packing import bench_packing
from stt_tune.errors import SettingsError


def test_what_cannot_be_timed_is_told_at_once() -> None:
    with pytest.raises(SettingsError) as refused:
        bench_packing("whisper-huge", -1.0, utterances=0, rounds=1, seed=0)
    assert "--model must be one of whisper-tiny, whisper-base" in str(refused.value)
    assert "--context must be from 1 to 30 seconds, found -1.0" in str(refused.value)
    assert "--utterances must be at least 1, found 0" in str(refused.value)
    assert "--rounds must be at least 2, found 1" in str(refused.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.usefixtures("ray_session")
def test_a_machine_without_gpu_is_told_before_anything_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "make_model", lambda *_given: pytest.fail("made a model"))
    with pytest.raises(SettingsError, match="bench packing: needs a GPU, found none"):
        bench_packing("whisper-tiny", 5.0, utterances=8, rounds=2, seed=0)
