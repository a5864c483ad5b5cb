"""Which of torch's kernels attend on a GPU."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def without_plans() -> Iterator[None]:
    """Attend without cuDNN inside the block, which from Hopper on torch prefers.

    It is the fastest for batches of a shape that comes often. For each shape that it has not seen it makes a plan,
    which takes tenths of a second, and each thread has plans of its own (torch's ATen/native/cudnn/MHA.cpp); Ray Tune
    runs every trial in a new thread.
    """
    was_enabled = torch.backends.cuda.cudnn_sdp_enabled()
    torch.backends.cuda.enable_cudnn_sdp(False)
    try:
        yield
    finally:
        torch.backends.cuda.enable_cudnn_sdp(was_enabled)
