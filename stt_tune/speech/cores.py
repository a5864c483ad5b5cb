"""How many cores a process uses."""

from __future__ import annotations

import torch


def use_cores(count: float) -> None:
    """Let torch run on so many cores, at least one; it would take all of the machine's."""
    torch.set_num_threads(max(int(count), 1))
