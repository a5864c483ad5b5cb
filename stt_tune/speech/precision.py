"""Find the arithmetic precision that is fastest here and safe for training."""

from __future__ import annotations

import functools
import time
from contextlib import AbstractContextManager

import torch

_WORTH_IT = 1.2  # bf16 must be this many times faster on a CPU before its rounding is taken
_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@functools.cache
def find_precision(device: str) -> str:
    """`bf16`, `fp16` or `fp32` for a device type (`cuda` or `cpu`).

    bf16 on GPUs that have it, fp16 on others (training scales its loss), and bf16 on CPUs whose bf16
    matrix product is measured faster. Measured once a process, in some milliseconds.
    """
    if device == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    matrix = torch.ones(1024, 384)
    weight = torch.ones(384, 1536)
    gain = _product_s(matrix, weight) / _product_s(matrix.bfloat16(), weight.bfloat16())
    return "bf16" if gain > _WORTH_IT else "fp32"


def autocast(device: str) -> AbstractContextManager[object]:
    """A context in which matrix products run in the precision found."""
    precision = find_precision(device)
    return torch.autocast(device, dtype=_TYPES.get(precision), enabled=precision in _TYPES)


def _product_s(left: torch.Tensor, right: torch.Tensor) -> float:
    """The shortest of several matrix products, in seconds; the first ones warm up."""
    times = []
    for _ in range(8):
        start = time.perf_counter()
        torch.mm(left, right)
        times.append(time.perf_counter() - start)
    return min(times[2:])
