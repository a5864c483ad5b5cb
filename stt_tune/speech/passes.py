"""Passes through a network, forward and back, on a GPU: captured once for each shape of batch, then replayed.

At the batch sizes that small data sets are fine-tuned with, launching the kernels of a pass one by one takes longer
than they run.
"""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from stt_tune.errors import first_line
from stt_tune.progress import say
from stt_tune.speech.capture import capturing
from stt_tune.speech.compilation import compile_layers
from stt_tune.speech.families.base import Batch
from stt_tune.speech.memory import free

# Computes the gradients of a batch, for the mean over so many tokens, and gives its loss in all.
ComputePass = Callable[[Batch, torch.Tensor], torch.Tensor]

_MOST = 32  # shapes that are captured
_PAYS = 6  # passes of a shape that have to be expected: a capture takes as long as three, and saves half of each
_Shapes = tuple[tuple[str, torch.Size], ...]


@dataclass(frozen=True)
class _Captured:
    """A graph, with where it reads and writes."""

    graph: torch.cuda.CUDAGraph
    batch: Batch
    tokens: torch.Tensor
    total: torch.Tensor


class GraphedPasses:
    """Computes as `compute` does; gradients are added to what is there.

    Between steps gradients may be set to None: `begin` puts them back, as graphs write to where they have been.
    """

    def __init__(self, compute: ComputePass, network: torch.nn.Module, tell: Callable[[str], None] = say) -> None:
        """Set up.

        Args:
            compute: A pass, without any wait for the device.
            network: What it trains, on a GPU.
            tell: Told what makes passes slower, in a line.
        """
        self._compute = compute
        self._network = network
        self._tell = tell
        self._gradients: list[tuple[torch.nn.Parameter, torch.Tensor]] = []
        self._seen: Counter[_Shapes] = Counter()
        self._to_come = math.inf
        self._graphs: dict[_Shapes, _Captured] = {}
        self._pool = torch.cuda.graph_pool_handle()
        self._stream = torch.cuda.Stream()
        self._is_captured = True

    def begin(self, to_come: float = math.inf) -> None:
        """Begin a step, with gradients of 0.

        Args:
            to_come: How many passes are to come for each since it was begun anew, of whatever shape; at 0 nothing is
                captured.
        """
        self._to_come = to_come
        if not self._gradients:
            return  # none has been computed yet
        torch._foreach_zero_([gradient for _parameter, gradient in self._gradients])
        for parameter, gradient in self._gradients:
            parameter.grad = gradient

    def __call__(self, batch: Batch, tokens: torch.Tensor) -> torch.Tensor:
        """Compute one pass."""
        shapes = tuple((name, tensor.shape) for name, tensor in batch.items())
        if self._pays(shapes):
            self._capture(shapes, batch, tokens)
        captured = self._graphs.get(shapes)
        if captured is None:
            total = self._warm_up(shapes, batch, tokens)
            # the largest first: smaller graphs find room in its memory, and larger ones none in theirs
            if all(_measure(shapes) > _measure(other) for other in self._graphs) and self._pays(shapes):
                self._capture(shapes, batch, tokens)
            return total
        for name, tensor in batch.items():
            captured.batch[name].copy_(tensor, non_blocking=True)
        captured.tokens.copy_(tokens)
        captured.graph.replay()
        return captured.total

    def release(self) -> bool:
        """Give back the memory that graphs hold and capture no more; False where there are none."""
        held = bool(self._graphs)
        if held:
            self.stop()
        return held

    def stop(self) -> None:
        """Capture no more, until batches are smaller."""
        self._is_captured = False
        self._forget()

    def begin_anew(self) -> None:
        """Capture as if nothing had been seen: batches are smaller than they were."""
        self._is_captured = True
        self._forget()

    def compile(self) -> None:
        """Fuse the kernels of the layers from here on."""
        self._forget()  # what is compiled needs memory, too
        compile_layers(self._network)

    def _forget(self) -> None:
        self._seen.clear()
        self._graphs.clear()
        self._pool = torch.cuda.graph_pool_handle()
        free()

    def _pays(self, shapes: _Shapes) -> bool:
        """Whether a shape that has been seen is to be captured, as it will be seen often enough."""
        is_possible = self._is_captured and shapes not in self._graphs and len(self._graphs) < _MOST
        return is_possible and shapes in self._seen and self._seen[shapes] * self._to_come >= _PAYS

    def _warm_up(self, shapes: _Shapes, batch: Batch, tokens: torch.Tensor) -> torch.Tensor:
        """Compute a pass, and set up what its kernels need."""
        with self._aside():
            total = self._compute(batch, tokens)
        self._seen[shapes] += 1
        if not self._gradients:
            self._gradients = [(each, each.grad) for each in self._network.parameters() if each.grad is not None]
        return total

    def _capture(self, shapes: _Shapes, batch: Batch, tokens: torch.Tensor) -> None:
        """Capture a pass, none of which is computed; where that fails, as for want of memory, none is any more."""
        batch, tokens = {name: tensor.clone() for name, tensor in batch.items()}, tokens.clone()
        graph = torch.cuda.CUDAGraph()
        try:
            with capturing(graph, pool=self._pool, stream=self._stream):
                total = self._compute(batch, tokens)
        except RuntimeError as error:
            self.stop()
            self._tell(f"passes through the network are not captured, which makes them slower: {first_line(error)}")
            return
        self._graphs[shapes] = _Captured(graph, batch, tokens, total)

    @contextlib.contextmanager
    def _aside(self) -> Iterator[None]:
        """Run the block in the stream that graphs are captured in, where what it sets up has to lie."""
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            yield
        torch.cuda.current_stream().wait_stream(self._stream)


def _measure(shapes: _Shapes) -> int:
    """How large a batch is, in elements."""
    return sum(shape.numel() for _name, shape in shapes)
