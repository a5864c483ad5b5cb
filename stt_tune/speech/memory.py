"""Notice when memory has run out, and free what can be freed."""

from __future__ import annotations

import functools
import gc

import torch
from accelerate.utils.memory import should_reduce_batch_size

from stt_tune.errors import TrainingMemoryError

# What accelerate does not know: memory that others on the GPU have taken, or that the driver, Triton or another library
# asks for beside torch.
_SIGNS = ("out of memory", "STATUS_ALLOC_FAILED", "ALLOCATION_FAILED", "when calling `cublasCreate")


def ran_out(error: RuntimeError) -> bool:
    """Whether an error says that a GPU's or the machine's memory has run out."""
    is_known = isinstance(error, torch.OutOfMemoryError) or should_reduce_batch_size(error)
    if is_known or any(sign in str(error) for sign in _SIGNS):
        return True
    # of a capture that memory has ended, the last word is that it failed
    before = error.__context__ if "capture" in str(error) else None
    return isinstance(before, RuntimeError) and ran_out(before)


def halve(batch_size: int) -> int:
    """Free what nobody holds any more, and give the next smaller size of batch.

    Raises:
        TrainingMemoryError: There is none.
    """
    if batch_size == 1:
        raise TrainingMemoryError(
            "memory ran out with one utterance at a time: a smaller model or shorter clips are needed."
        )
    free()
    return (batch_size + 1) // 2


def free() -> None:
    """Give back what nobody holds any more, on the GPU too if there is one."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@functools.cache
def spare_modules() -> None:
    """Leave what is alive now out of all searches for garbage, in a process that trains again and again.

    That is mostly what modules hold, half a million objects: to go through them takes 0.4 s, and each training does.
    It is done once, as later the training before would be kept as well.
    """
    gc.collect()
    gc.freeze()
