"""Decide when the layers of a network on a GPU are worth compiling, and compile them."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch

_COST_S = 45.0  # of compiling, the first time on a machine: for one shape, and then, with the second, for all shapes
_SAVED = 0.2  # the share of a step's time that it saves at least
_MOST = 64  # times that what all layers share is compiled: for kinds of layers, shapes, dropouts; after it, no more
_DROPPED = ("self_attn", "encoder_attn", "fc2")  # parts of Whisper's layers whose output goes through dropout
_FROM, _TO = 5, 15  # steps between which a step's time is measured: most has been set up by the first of them

_trained_s = 0.0


def note_trained(seconds: float) -> None:
    """Take note of what this process has trained, as if without compiling."""
    global _trained_s
    _trained_s += seconds


class CompilationClock:
    """Tells when a training should compile its layers.

    It should once what that would have saved in this process so far, and saves in the rest of the training, is what it
    costs. As nobody knows which trials a worker will get, this takes at most twice what the best choice would.
    """

    def __init__(self) -> None:
        """Begin with what this process has trained before: compiling again takes a second or two then."""
        self._is_decided = False
        self._begun_s: list[float] = []

    def is_time(self, step: int, steps: int) -> bool:
        """Tell once, before a step.

        Args:
            step: How many are done.
            steps: How many there are in all.
        """
        if self._is_decided:
            return False
        if _FROM <= step <= _TO:
            torch.cuda.synchronize()
            self._begun_s.append(time.monotonic())
        if step == _TO and len(self._begun_s) > 1:
            # not the mean: some of these steps capture what they compute
            note_trained(float(np.median(np.diff(self._begun_s))) * steps)
        self._is_decided = _trained_s * _SAVED > _COST_S
        return self._is_decided


def compile_layers(network: torch.nn.Module, backend: str = "inductor") -> None:
    """Let each layer of a stack be compiled at its next use, all of a kind once; where that fails, it is not."""
    torch._dynamo.config.suppress_errors = True
    torch._dynamo.config.recompile_limit = _MOST
    for stack in network.modules():
        if isinstance(stack, torch.nn.ModuleList) and len({type(layer) for layer in stack}) == 1:
            for layer in stack:
                _drop_by_tensor(layer)
                layer.compile(backend=backend)


def _drop_by_tensor(layer: Any) -> None:
    """Let a Whisper's layer read from a tensor what share to drop: each number would be compiled anew."""
    share = torch.tensor(layer.dropout, device=next(layer.parameters()).device) if layer.dropout else None
    layer.dropout = 0.0
    for name, part in layer.named_children():
        if name in _DROPPED:
            part.share_dropped = share
            # where there is nothing to drop, too: what has been compiled without it would be taken for any other layer
            part.register_forward_hook(_drop)


def _drop(part: Any, args: tuple[Any, ...], output: Any) -> Any:
    """Dropout of what a part of a layer gives; attention gives its weights, too."""
    if part.share_dropped is None or not part.training:
        return output
    hidden, *others = output if isinstance(output, tuple) else (output,)
    is_kept = torch.rand_like(hidden, dtype=torch.float32) >= part.share_dropped  # bf16 is too coarse to draw from
    hidden = hidden * is_kept / (1 - part.share_dropped)
    return (hidden, *others) if isinstance(output, tuple) else hidden
