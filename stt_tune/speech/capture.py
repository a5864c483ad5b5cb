"""Capture what a GPU is told to do, to tell it once more at once."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch


@contextlib.contextmanager
def capturing(graph: torch.cuda.CUDAGraph, **given: Any) -> Iterator[None]:
    """Capture the block, none of which is computed, into a graph.

    Args:
        graph: A new one.
        **given: As `torch.cuda.graph` takes it.

    Raises:
        RuntimeError: It cannot be captured, as for want of memory.
    """
    stream = torch.cuda.current_stream()
    try:
        with torch.cuda.graph(graph, **given):
            yield
    except RuntimeError:
        torch.cuda.set_stream(stream)  # torch leaves that of a broken capture in its place
        raise
