"""How much of a machine a process may take."""

from __future__ import annotations

import os

import torch

CONTEXT_BYTES = 0.7e9
"""What a process takes of a GPU's memory beside its tensors: CUDA's context, kernels, libraries."""


def use_cores(count: float) -> None:
    """Let torch run on so many cores, at least one; it would take all of the machine's.

    On no more than `OMP_NUM_THREADS` says, which Ray sets to what it has given where the user has not.
    """
    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]  # the others are of nested regions
    most = int(asked) if asked.isdecimal() else count
    torch.set_num_threads(max(int(min(count, most)), 1))


def use_gpu(share: float) -> None:
    """Let torch take such a share of the GPU's memory, so that what it lacks costs no process beside it."""
    if 0 < share < 1 and torch.cuda.is_available():
        most = share - CONTEXT_BYTES / torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(max(most, 0.0))


def find_gpu_problem(share: float) -> str | None:
    """Why a process that has such a share of a GPU, or of several, will train on its cores; None where it will not."""
    if not share or torch.cuda.is_available():
        return None
    return (
        "trials have GPUs there, and torch can use none, so that they train on its cores. Install a torch built "
        f"for CUDA (found: {torch.__version__}), and a driver that it knows."
    )
