"""Decide when the layers of a network on a GPU are worth compiling, and compile them."""

from __future__ import annotations

import time

import torch

_COST_S = 45.0  # of compiling, the first time on a machine: for one shape, and then, with the second, for all shapes
_SAVED = 0.2  # the share of a step's time that it saves at least
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
        self._begun_s = 0.0

    def is_time(self, step: int, steps: int) -> bool:
        """Tell once, before a step.

        Args:
            step: How many are done.
            steps: How many there are in all.
        """
        if self._is_decided:
            return False
        if step == _FROM:
            torch.cuda.synchronize()
            self._begun_s = time.monotonic()
        elif step == _TO and self._begun_s:
            torch.cuda.synchronize()
            note_trained((time.monotonic() - self._begun_s) / (_TO - _FROM) * steps)
        self._is_decided = _trained_s * _SAVED > _COST_S
        return self._is_decided


def compile_layers(network: torch.nn.Module, backend: str = "inductor") -> None:
    """Let each layer of a stack be compiled at its next use, all of a kind once; where that fails, it is not."""
    torch._dynamo.config.suppress_errors = True
    for stack in network.modules():
        if isinstance(stack, torch.nn.ModuleList) and len({type(layer) for layer in stack}) == 1:
            for layer in stack:
                layer.compile(backend=backend)
