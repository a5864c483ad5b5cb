"""A stand-in for CUDA graphs, where there is no GPU: what is computed is recorded, kernel by kernel, and done again.

As with the real ones nothing is computed during a capture, none of it may wait for the device, memory inside a graph
holds what the last replay has left there, and graphs of one pool use the same. What no replay has written yet is NaN.
"""

from __future__ import annotations

import contextlib
import types
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_WAITS = {"aten::_local_scalar_dense", "aten::nonzero", "aten::equal"}


class Graphs:
    """Those that a test captures.

    Attributes:
        captured: How many.
        replayed: How often, all together.
        fail: Raised by the next capture, once.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Put them in the place of CUDA's; tensors say that they lie on a GPU."""
        self.captured = self.replayed = 0
        self.fail: Exception | None = None
        self._pools: dict[object, list[_Graph]] = {}
        stream = types.SimpleNamespace(wait_stream=lambda _other: None)
        for name, value in {
            "CUDAGraph": lambda: _Graph(self),
            "graph": self._capture,
            "graph_pool_handle": object,
            "Stream": lambda priority=0: stream,
            "set_stream": lambda _stream: None,
            "current_stream": lambda: stream,
            "stream": lambda _stream: contextlib.nullcontext(),
        }.items():
            monkeypatch.setattr(torch.cuda, name, value)
        monkeypatch.setattr(torch.Tensor, "is_cuda", property(lambda _tensor: True), raising=False)

    @contextlib.contextmanager
    def _capture(self, graph: _Graph, pool: object = None, stream: object = None) -> Iterator[None]:
        recorder = _Recorder(graph)
        try:
            with recorder:
                yield
                error, self.fail = self.fail, None
                if error is not None:
                    raise error
        finally:
            for memory, content in recorder.outside.values():
                memory.copy_(content)
            graph.blot()
        self.captured += 1
        graph.others = self._pools.setdefault(pool or object(), [])
        graph.others.append(graph)


class _Graph:
    def __init__(self, graphs: Graphs) -> None:
        self._graphs = graphs
        # with what each makes: the place among its results, and where they lie
        self.kernels: list[tuple[Any, tuple[Any, ...], dict[str, Any], dict[int, torch.Tensor]]] = []
        self.others: list[_Graph] = []

    def blot(self) -> None:
        """Forget what the last replay has left."""
        for _kernel, _args, _given, made in self.kernels:
            for each in made.values():
                if each.is_floating_point():
                    each.untyped_storage().fill_(0xFF)  # NaN in any precision

    @torch.no_grad()
    def replay(self) -> None:
        self._graphs.replayed += 1
        for graph in self.others:
            graph.blot()
        for kernel, args, given, made in self.kernels:
            results = _find_tensors(kernel(*args, **given))
            for place, tensor in made.items():
                tensor.data.copy_(results[place])


class _Recorder(TorchDispatchMode):
    """Records kernels; `outside` is what memory from outside the graph held before it was written to."""

    def __init__(self, graph: _Graph) -> None:
        super().__init__()
        self._graph = graph
        self._inside: set[int] = set()
        self.outside: dict[int, tuple[torch.UntypedStorage, torch.UntypedStorage]] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = kwargs or {}
        assert func._schema.name not in _WAITS, f"{func} waits for the device"
        read = {_find_memory(each).data_ptr() for each in _find_tensors((args, given))}
        for place, argument in enumerate(func._schema.arguments):
            if argument.is_write:
                self._keep(args[place] if place < len(args) else given.get(argument.name))
        results = func(*args, **given)
        # views, and what is written in place, lie where something else does
        found = enumerate(_find_tensors(results))
        made = {place: each for place, each in found if _find_memory(each).data_ptr() not in read}
        self._inside |= {_find_memory(each).data_ptr() for each in made.values()}
        self._graph.kernels.append((func, args, given, made))
        return results

    def _keep(self, written: Any) -> None:
        for memory in map(_find_memory, _find_tensors(written)):
            if memory.data_ptr() not in self._inside:
                self.outside.setdefault(memory.data_ptr(), (memory, memory.clone()))


def _find_tensors(tree: Any) -> list[torch.Tensor]:
    return [each for each in tree_leaves(tree) if isinstance(each, torch.Tensor)]


def _find_memory(tensor: torch.Tensor) -> torch.UntypedStorage:
    return tensor.untyped_storage()
