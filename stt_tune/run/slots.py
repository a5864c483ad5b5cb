"""Workers of Ray that take one call after another, each with what a trial gets."""

from __future__ import annotations

import functools
import socket
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import ray
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from stt_tune.run.cluster import TrialResources
from stt_tune.run.mailbox import tell_user
from stt_tune.speech.limits import find_gpu_problem, use_cores, use_gpu

_RETRIES = 3  # of what Ray loses to a worker or node that dies; what was finished of a training is kept


def settle(resources: TrialResources) -> None:
    """Let this process take of its machine what a process of a trial gets."""
    use_cores(resources.cpus / resources.workers)
    use_gpu(resources.gpus)
    if problem := find_gpu_problem(resources.gpus):
        _tell_once(f"{socket.gethostname()}: {problem}")


@functools.cache  # of each process
def _tell_once(text: str) -> None:
    tell_user(text)


class Slot:
    """Room for one call at a time.

    Ray ends the process of every task that had a GPU, and with it what had been imported and set up there, so that an
    actor takes the calls. Tasks without GPUs find the processes of any that were before them.

    Attributes:
        ready: A reference that Ray resolves once calls can be made.
    """

    def __init__(self, resources: TrialResources) -> None:
        """Ask Ray for a trial's resources; a call runs in the first of several processes, and may start the others."""
        self._resources = resources
        self._actor: Any = None
        self._called: Any = None
        self._room: Any = None
        options: dict[str, Any] = resources.to_task_options()
        if resources.workers > 1:
            self._room = resources.to_placement().to_placement_group()
            options |= {"scheduling_strategy": PlacementGroupSchedulingStrategy(self._room, 0), "label_selector": {}}
        if resources.gpus:
            options |= {"max_restarts": _RETRIES, "max_task_retries": _RETRIES}
            self._actor = ray.remote(**options)(_Worker).remote()
            self.ready = self._actor.__ray_ready__.remote()
        else:
            self._task = ray.remote(max_retries=_RETRIES, **options)(_call)
            self.ready = ray.put(None)

    def call(self, function: Callable[..., Any], arguments: Sequence[Any]) -> Any:
        """Call a function there; object references among its arguments are resolved. Gives one to its result."""
        call = self._actor.call.remote if self._actor else self._task.remote
        self._called = call(self._resources, function, *arguments)
        return self._called

    def close(self) -> None:
        """End what is not done, and leave: a Ray that others started goes on, and so would this."""
        if self._actor:
            ray.kill(self._actor)
        elif self._called:
            ray.cancel(self._called, force=True)
        if self._room:
            ray.util.remove_placement_group(self._room)


def close(slots: Iterable[Slot]) -> None:
    """Close each of them; see `Slot.close`."""
    for slot in slots:
        slot.close()


def _call(resources: TrialResources, function: Callable[..., Any], *arguments: Any) -> Any:
    settle(resources)
    return function(*arguments)


class _Worker:
    """A process that keeps its GPU between calls."""

    def call(self, resources: TrialResources, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function."""
        return _call(resources, function, *arguments)
