"""Say what trials wait for where none finds room for a minute; must be used while connected to Ray."""

from __future__ import annotations

import time
from typing import Any

import ray
from ray.tune import Callback
from ray.tune.experiment import Trial as RayTrial

from stt_tune.progress import say
from stt_tune.run.cluster import TrialResources
from stt_tune.run.division import explain
from stt_tune.run.growth import find_growth
from stt_tune.run.nodes import find_nodes
from stt_tune.run.unpickled import Unpickled

_PATIENCE_S = 60.0


class WaitingRoom(Unpickled, Callback):
    """Watches over trials that wait; that some wait while others run is as it should be."""

    def __init__(self, resources: TrialResources, patience_s: float = _PATIENCE_S) -> None:
        """Say what trials wait for that get `resources`, once none has run for `patience_s` seconds."""
        self._resources, self._patience_s = resources, patience_s
        self._since: float | None = None
        self._is_told = False

    def on_step_end(self, iteration: int, trials: list[RayTrial], **info: Any) -> None:
        """Look whether trials wait and none runs."""
        if any(each.status == RayTrial.RUNNING for each in trials) or not any(
            each.status == RayTrial.PENDING for each in trials
        ):
            self._since, self._is_told = None, False
            return
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        if now - self._since >= self._patience_s and not self._is_told:
            self._is_told = True
            say(_describe(self._resources))


def wait_for_room(resources: TrialResources, patience_s: float = _PATIENCE_S) -> None:
    """Return when one trial finds room, or after `patience_s` seconds, and say then what is waited for."""
    room = resources.to_placement().to_placement_group()
    try:
        ready, _late = ray.wait([room.ready()], timeout=patience_s)
    finally:
        ray.util.remove_placement_group(room)
    if not ready:
        say(_describe(resources))


def _describe(resources: TrialResources) -> str:
    """What trials wait for, and what there is."""
    growth = find_growth()
    hope = "Nodes may be starting" if growth.is_possible else "Others may be using it: `ray status` shows that"
    return f"trials wait for resources: {explain(resources.needed, find_nodes(), growth)}. {hope}"
