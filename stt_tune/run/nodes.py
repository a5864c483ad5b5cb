"""What the nodes of the connected cluster have, and what those that it can start would have."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

Answer = TypeVar("Answer")

ACCELERATOR = "accelerator_type:"
"""What Ray's resource of a type of GPU begins with; `ray.util.accelerators` has the types."""

NODE_ID = "ray.io/node-id"
"""Ray's label of a node."""

_PATIENCE_S = 30
_MIB_GB = 1024**2 / 1e9
# Of one GPU, in GB, the smallest where a type has several. Source: NVIDIA's data sheets.
_MEMORY_GB = {
    "K80": 12, "P4": 8, "P100": 12, "T4": 16, "V100": 16, "A10G": 24, "L4": 24, "L40S": 48, "A100": 40, "A100-40G": 40,
    "A100-80G": 80, "H20": 96, "H100": 80, "H200": 141, "B200": 180, "GB200": 186, "B300": 270, "GB300": 279,
    "RTX-PRO-6000": 96,
}  # fmt: skip


@dataclass(frozen=True)
class Node:
    """A node, or a kind of node that the cluster can start.

    Attributes:
        id: Ray's; empty for one that is yet to be started.
        cpus: Cores.
        gpus: How many.
        gpu_type: Ray's name of them; None: it has none, or says nothing of them.
        gpu_memory_gb: Of each of them, in 10^9 bytes; None: not known.
        count: How many of the kind there can be.
    """

    id: str = ""
    cpus: float = 0.0
    gpus: float = 0.0
    gpu_type: str | None = None
    gpu_memory_gb: float | None = None
    count: int = 1

    @classmethod
    def from_resources(cls, resources: Mapping[str, float], *, id: str = "", count: int = 1) -> Node:
        """Read what Ray calls a node's resources.

        >>> Node.from_resources({"CPU": 8, "GPU": 1, "accelerator_type:L4": 1})
        Node(id='', cpus=8, gpus=1, gpu_type='L4', gpu_memory_gb=24, count=1)
        """
        types = [name.removeprefix(ACCELERATOR) for name in resources if name.startswith(ACCELERATOR)]
        gpus = resources.get("GPU", 0.0)
        gpu_type = types[0] if types and gpus else None
        return cls(id, resources.get("CPU", 0.0), gpus, gpu_type, _MEMORY_GB.get(gpu_type or ""), count)

    def count_slots(self, cpus: float, gpus: float, *, gpu_type: str | None, gpu_memory_gb: float | None) -> int:
        """How many processes that need so much find room on it at a time; `count` of it is one.

        Args:
            cpus: Cores of each.
            gpus: GPUs of each, or a fraction of one.
            gpu_type: What they must be; None: anything.
            gpu_memory_gb: What each GPU must have at least, in 10^9 bytes; None: anything.
        """
        if gpu_type is not None and self.gpu_type != gpu_type:
            return 0
        if gpu_memory_gb is not None and (self.gpu_memory_gb or 0.0) < gpu_memory_gb:
            return 0
        by_gpus = _count_shares(self.gpus, gpus) if gpus else None
        by_cpus = int(self.cpus / cpus) if cpus else None
        return min((each for each in (by_gpus, by_cpus) if each is not None), default=1)


def _count_shares(there: float, each: float) -> int:
    """How many times `each` finds room; a fraction lies on one GPU, as Ray has it.

    >>> _count_shares(2, 0.4), _count_shares(4, 2), _count_shares(1, 2)
    (4, 2, 0)
    """
    return int(there) * int(1 / each + 1e-9) if each < 1 else int(there / each)


def find_nodes() -> list[Node]:
    """The nodes that are there; the memory of their GPUs as their type has it."""
    import ray

    return [Node.from_resources(each["Resources"], id=each["NodeID"]) for each in ray.nodes() if each["Alive"]]


def measure_gpu_memory(nodes: Iterable[Node]) -> list[Node]:
    """Ask every node that has GPUs how much memory they have; where it cannot say, what its type has stays."""
    nodes = list(nodes)
    found = call_on(read_gpu_memory, [node for node in nodes if node.gpus])
    return [replace(each, gpu_memory_gb=found.get(each.id) or each.gpu_memory_gb) for each in nodes]


def call_on(function: Callable[[], Answer], nodes: Iterable[Node]) -> dict[str, Answer]:
    """Call a function on each of the nodes; what they answer by id, without those that have gone or are late."""
    import ray

    task = ray.remote(num_cpus=0, max_retries=1)(function)
    asked = {task.options(label_selector={NODE_ID: each.id}).remote(): each.id for each in nodes}
    ready, late = ray.wait(list(asked), num_returns=len(asked), timeout=_PATIENCE_S) if asked else ([], [])
    for each in late:
        ray.cancel(each, force=True)
    answers = {}
    for each in ready:
        with contextlib.suppress(ray.exceptions.RayError):
            answers[asked[each]] = ray.get(each)
    return answers


def read_gpu_memory() -> float | None:
    """The memory of this machine's smallest GPU, in 10^9 bytes; None where NVIDIA's driver does not say."""
    command = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_PATIENCE_S).stdout
        return min(float(line) for line in said.split()) * _MIB_GB
    except (OSError, subprocess.SubprocessError, ValueError):
        return None


def describe_nodes(nodes: Collection[Node]) -> str:
    """What there is, in words, most GPUs first: `2 nodes with 1 A10G (24 GB) and 8 cores each, 1 node with 4 cores`."""
    kinds: dict[Node, int] = {}
    for each in nodes:
        kind = replace(each, id="", count=1)
        kinds[kind] = kinds.get(kind, 0) + each.count
    largest = sorted(kinds, key=lambda kind: (-kind.gpus, kind.gpu_type or "", -kind.cpus))
    return ", ".join(_describe(kind, kinds[kind]) for kind in largest if kinds[kind]) or "no nodes"


def _describe(node: Node, count: int) -> str:
    memory = f" ({node.gpu_memory_gb:.0f} GB)" if node.gpu_memory_gb else ""
    gpus = f"{node.gpus:g} {node.gpu_type or _plural(node.gpus, 'GPU')}{memory} and " if node.gpus else ""
    each = " each" if count > 1 else ""
    return f"{_plural(count, 'node', counted=True)} with {gpus}{_plural(node.cpus, 'core', counted=True)}{each}"


def _plural(number: float, word: str, *, counted: bool = False) -> str:
    return f"{f'{number:g} ' if counted else ''}{word}{'' if number == 1 else 's'}"
