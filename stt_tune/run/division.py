"""Divide what a cluster has, and can grow to, among trials; or say what a trial asks for in vain."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from stt_tune.errors import SettingsError
from stt_tune.progress import say
from stt_tune.run.growth import Growth
from stt_tune.run.nodes import Node, describe_nodes
from stt_tune.sweep.numerals import as_whole, is_count, is_number


@dataclass(frozen=True)
class Asked:
    """What a trial is to get.

    Attributes:
        cpu: Cores; None: to be found.
        gpu: GPUs, or a fraction of one; None: one where there are any.
        workers: Processes that train it together, each with its share of cores and GPUs, on any nodes.
        gpu_type: Ray's name of the GPUs that it runs on; None: any.
        gpu_memory_gb: What each of them has at least, in 10^9 bytes; None: any.
    """

    cpu: float | None = None
    gpu: float | None = None
    workers: int = 1
    gpu_type: str | None = None
    gpu_memory_gb: float | None = None

    @classmethod
    def from_mapping(cls, asked: Any) -> Asked:
        """Read what is asked for by name.

        Raises:
            SettingsError: A name or a value is none that can be asked for.
        """
        if not isinstance(asked, Mapping):
            raise SettingsError(f'resources per trial: must be a mapping such as {{"cpu": 2}}, found {asked!r}.')
        asked = {name: as_whole(value) for name, value in asked.items()}
        names = [each.name for each in fields(cls)]
        for name, value in asked.items():
            if name not in names:
                raise SettingsError(f"resources per trial: must be one of {', '.join(names)}, found {name!r}.")
            if must := _judge(name, value):
                raise SettingsError(f"{name} per trial must be {must}, found {value!r}.")
        this = cls(**asked)
        if this.gpu is not None and this.gpu > 1 and not float(this.gpu).is_integer():
            raise SettingsError(f"GPUs per trial must be a fraction of one, or a whole number, found {this.gpu:g}.")
        if this.gpu == 0 and (this.gpu_type or this.gpu_memory_gb):
            raise SettingsError("GPUs per trial must be above 0 where their type or memory is given, found 0.")
        return this

    def describe(self, cpus: float, gpus: float) -> str:
        """What a trial needs, in words."""
        kind = f" of type {self.gpu_type}" if self.gpu_type else ""
        memory = f" with {self.gpu_memory_gb:g} GB" if self.gpu_memory_gb else ""
        words = [f"{gpus:g} GPU{'' if gpus == 1 else 's'}{kind}{memory}"] if gpus else []
        words += [f"{cpus:g} core{'' if cpus == 1 else 's'}"] if cpus else []
        return f"{' and '.join(words)}{'' if self.workers > 1 else ' on one node'}"


def _judge(name: str, value: Any) -> str:
    """What must hold of something that is asked for, and does not; empty: nothing."""
    if value is None and name != "workers":
        return ""
    if name == "gpu_type":
        return "" if isinstance(value, str) else "text"
    if name == "workers":
        return "" if is_count(value) else "a whole number of at least 1"
    return "" if is_number(value) and value >= 0 else "a number of at least 0"


@dataclass(frozen=True)
class Division:
    """What each trial gets: `cpus` cores and `gpus` GPUs of `gpu_type`, `max_concurrent` trials at a time."""

    cpus: float
    gpus: float
    max_concurrent: int
    gpu_type: str | None


def divide(asked: Asked, nodes: Sequence[Node], growth: Growth, max_concurrent: int | None) -> Division:
    """Divide nodes among trials.

    With GPUs: one each, or as many as asked for, and their node's cores in proportion. Without: one trial a node on
    all its cores, `max_concurrent` that share them, or as many as have the cores that are asked for.

    Args:
        asked: What each trial is to get.
        nodes: What there is.
        growth: What there can be.
        max_concurrent: Trials at a time; None: as many as find room.

    Raises:
        SettingsError: No trial finds room, and none ever will.
    """
    kinds = growth.kinds or ()
    gpus = _find_gpus(asked, [*nodes, *kinds], growth)
    each_gpus = gpus / asked.workers
    each_cpus = _find_cores(asked, [*nodes, *kinds], each_gpus, max_concurrent)

    def count(node: Node) -> int:
        return node.count_slots(each_cpus, each_gpus, gpu_type=asked.gpu_type, gpu_memory_gb=asked.gpu_memory_gb)

    slots = max(sum(count(node) for node in nodes), _count_grown(kinds, growth.most, count)) // asked.workers
    cpus = each_cpus * asked.workers
    # nodes may come of which nothing is known
    is_open = growth.is_possible and not growth.kinds and (growth.kinds is None or len(nodes) <= growth.most)
    if not slots:
        _refuse(explain(asked.describe(cpus, gpus), nodes, growth), is_open=is_open)
    usual = slots if gpus or asked.cpu else sum(node.count for node in [*nodes, *kinds] if count(node))
    most = max_concurrent or usual or 1
    return Division(cpus, gpus, most if is_open else min(most, slots), asked.gpu_type or _narrow(asked, kinds, count))


def _find_gpus(asked: Asked, rooms: Sequence[Node], growth: Growth) -> float:
    if asked.gpu is not None:
        return asked.gpu
    if any(node.gpus for node in rooms) or asked.gpu_type or asked.gpu_memory_gb:
        return 1.0
    if growth.kinds is None and not any(node.cpus for node in rooms):
        say("the cluster has no cores yet, and does not tell what it grows to: trials ask for a GPU each")
        return 1.0
    return 0.0


def _find_cores(asked: Asked, rooms: Sequence[Node], gpus: float, max_concurrent: int | None) -> float:
    """Cores of each process, which has `gpus` GPUs."""
    if asked.cpu is not None:
        return asked.cpu / asked.workers
    return _divide_by_gpus(rooms, gpus, asked) if gpus else _divide_cores(rooms, max_concurrent)


def _count_grown(kinds: Sequence[Node], most: int, count: Callable[[Node], int]) -> int:
    """How many processes find room on the nodes that can be started, `most` in all."""
    grown, left = 0, most
    for kind in sorted(kinds, key=count, reverse=True):
        grown += count(kind) * min(kind.count, left)
        left -= min(kind.count, left)
    return grown


def _divide_by_gpus(rooms: Sequence[Node], gpus: float, asked: Asked) -> float:
    """Cores of each process, so that every GPU that suits is used."""
    shares = []
    for room in rooms:
        slots = room.count_slots(0, gpus, gpu_type=asked.gpu_type, gpu_memory_gb=asked.gpu_memory_gb)
        if slots and room.cpus:
            shares.append(_share(room.cpus, slots))
    return min(shares, default=1.0)


def _share(cpus: float, slots: int) -> float:
    """Whole cores of each of so many, or a part of one where there are fewer: no GPU is idle for want of a core.

    Each then runs one thread, on a core that it has to share.

    >>> _share(64, 12), _share(6, 8), _share(2, 3)
    (5, 0.75, 0.66)
    """
    return cpus // slots or math.floor(100 * cpus / slots) / 100


def _divide_cores(rooms: Sequence[Node], max_concurrent: int | None) -> float:
    """Cores of each trial where there are no GPUs, so that trials at a time use the most cores together."""
    nodes = sum(room.count for room in rooms if room.cpus)
    wanted = max_concurrent or nodes
    shares = {max(room.cpus // -(-wanted // max(nodes, 1)), 1.0) for room in rooms if room.cpus}

    def used(cpus: float) -> tuple[float, float]:
        slots = sum(int(room.cpus / cpus) * room.count for room in rooms)
        return cpus * min(slots, wanted), cpus

    return max(shares, key=used, default=1.0)


def _narrow(asked: Asked, kinds: Sequence[Node], count: Callable[[Node], int]) -> str | None:
    """The type of GPU that tells kinds of nodes with enough memory from the others, where both can be started.

    Raises:
        SettingsError: There are several.
    """
    fit = {kind.gpu_type for kind in kinds if count(kind)}
    if asked.gpu_memory_gb is None or all(count(kind) for kind in kinds if kind.gpus) or not fit:
        return None
    if len(fit) > 1:
        names = ", ".join(sorted(str(each) for each in fit))
        raise SettingsError(
            f"--min-gpu-memory: the cluster can start nodes of several types that have it ({names}) and others that "
            "have not, and Ray chooses among nodes by type alone. Name one with --gpu-type."
        )
    return fit.pop()


def explain(needed: str, nodes: Sequence[Node], growth: Growth) -> str:
    """Say what a trial needs and what there is."""
    there = f"the cluster has: {describe_nodes(nodes)}"
    if growth.kinds:
        there += f"; and can start up to {growth.most} of: {describe_nodes(growth.kinds)}"
    return f"a trial needs {needed}; {there}"


def _refuse(told: str, *, is_open: bool) -> None:
    """End where no trial will ever find room; say so where that cannot be known."""
    if not is_open:
        raise SettingsError(
            f"resources per trial: must be what the cluster has. {told}. Ask for less (--gpus-per-trial, --gpu-type, "
            "--min-gpu-memory), or add such a node."
        )
    say(f"{told}. It may grow: trials wait for it")
