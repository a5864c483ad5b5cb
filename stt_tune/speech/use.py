"""Measure what one training uses of a GPU."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from stt_tune.speech.example import Example
from stt_tune.speech.families.base import SpeechModel, count_tokens
from stt_tune.speech.limits import CONTEXT_BYTES
from stt_tune.speech.memory import ran_out
from stt_tune.speech.passes import GraphedPasses
from stt_tune.speech.precision import autocast, find_precision, find_type

_MOST = 16  # trainings at a time; each is a process with a context and libraries of its own
_PASSES = 10


@dataclass(frozen=True)
class Use:
    """What one training uses of a GPU.

    Attributes:
        memory: The share of its memory.
        time: The share of its units that a step keeps busy; 1: a batch of twice the size takes twice as long.
    """

    memory: float
    time: float

    def count(self, cores: float) -> int:
        """How many such trainings one GPU takes, for which there are so many cores."""
        by_time = math.ceil(1 / self.time) if self.time > 1 / _MOST else _MOST
        return max(min(int(1 / self.memory), by_time, int(cores)), 1)


def measure_use(model: SpeechModel, examples: Sequence[Example], batch_size: int, audio_context_s: float | None) -> Use:
    """Train for a moment on the GPU of this process, with batches of one size and then of twice that.

    What does not find room there is taken to use all of it: a trial would go on with smaller batches. So is what finds
    no GPU that torch can use, of which trials tell.
    """
    if not torch.cuda.is_available():
        return Use(memory=1.0, time=1.0)
    try:
        return _measure(model, examples, batch_size, audio_context_s)
    except RuntimeError as error:
        if not ran_out(error):
            raise
        return Use(memory=1.0, time=1.0)


def _measure(model: SpeechModel, examples: Sequence[Example], batch_size: int, audio_context_s: float | None) -> Use:
    network, context_s = model.build(), audio_context_s or model.find_context(examples)
    torch.nn.Module.cuda(network)  # transformers' own is typed for subclasses only
    network.train()
    optimizer = torch.optim.AdamW([each for each in network.parameters() if each.requires_grad], lr=0.0, fused=True)

    def compute(batch: dict[str, torch.Tensor], tokens: torch.Tensor) -> torch.Tensor:
        with autocast("cuda"):
            total = model.compute_loss(network, batch).total
        (total / tokens).backward()
        return total.detach()

    is_captured = find_precision("cuda") == "bf16" and model.can_be_captured(network)
    step = GraphedPasses(compute, network) if is_captured else compute

    def time_pass(size: int) -> float:
        rows = [examples[i % len(examples)] for i in range(size)]
        batch = {name: tensor.cuda() for name, tensor in model.collate(rows, context_s).items()}
        tokens = count_tokens(batch)
        for _ in range(3):  # the first is a warm-up, the second may be captured
            step(batch, tokens)
        optimizer.step()
        return _time(lambda: step(batch, tokens))

    once_s = time_pass(batch_size)
    # evaluation has weights of its own beside these, and smaller batches where there is no room
    weights = sum(each.numel() for each in network.parameters()) * find_type("cuda").itemsize
    taken = torch.cuda.max_memory_reserved() + weights + CONTEXT_BYTES
    memory = taken / torch.cuda.get_device_properties(0).total_memory
    return Use(memory, min(max(time_pass(2 * batch_size) / once_s - 1, 0.0), 1.0))


def _time(call: Callable[[], object]) -> float:
    """Seconds of one call of several, until the device has ended."""
    torch.cuda.synchronize()
    begun = time.monotonic()
    for _ in range(_PASSES):
        call()
    torch.cuda.synchronize()
    return (time.monotonic() - begun) / _PASSES
