"""How many trials share a GPU, where there is none; `test_placement.py` has some."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from stt_tune.run.packing import find_trials_per_gpu


@pytest.mark.usefixtures("ray_session")
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_gpus_nothing_is_measured_and_trials_ask_for_none() -> None:
    nothing: Any = None
    assert find_trials_per_gpu(nothing, nothing, {}, {}) == 0
