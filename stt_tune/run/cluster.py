"""Connect to Ray and find out what there is to run on."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from stt_tune.errors import SettingsError
from stt_tune.progress import say
from stt_tune.run.interrupts import heeding_interrupts
from stt_tune.run.joining import CLIENT, check_cluster, is_client
from stt_tune.run.nodes import ACCELERATOR, NODE_ID, find_nodes, measure_gpu_memory

if TYPE_CHECKING:
    from ray.tune import PlacementGroupFactory

_OWN = "local"
_ENVIRONMENT = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    # CSV, JSON and TensorBoard copies of what the trial table holds
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # a sweep resumes from its trial table, not from Ray's snapshots
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
    # a diverged trial has no metric in its last report
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    # what has found out what the base model gets wrong has imported all, and confirms when the trials are over
    "RAY_idle_worker_killing_time_threshold_ms": "3600000",
}


@dataclass(frozen=True)
class TrialResources:
    """What one trial gets, and how many run at a time.

    Attributes:
        cpus: Cores, of all its processes together.
        gpus: GPUs, or a fraction of one, of all its processes together.
        max_concurrent: Trials at a time.
        workers: Processes that train it together; they may lie on several nodes.
        gpu_type: Ray's name of the GPUs that it runs on; None: any.
        unfit_nodes: Ids of nodes that it must not run on, as their GPUs have too little memory.
        needed: What it needs, in words.
    """

    cpus: float
    gpus: float
    max_concurrent: int
    workers: int = 1
    gpu_type: str | None = None
    unfit_nodes: tuple[str, ...] = ()
    needed: str = ""

    def to_placement(self, excluded_nodes: Collection[str] = ()) -> PlacementGroupFactory:
        """What Ray is to reserve for a trial: a bundle for each of its processes, near each other if possible.

        Args:
            excluded_nodes: Ids of further nodes that it must not run on.
        """
        from ray.tune import PlacementGroupFactory

        one = self.of_one_worker()
        bundle = {"CPU": one.cpus, "GPU": one.gpus, **self._special()}
        selector = self._select(excluded_nodes)
        selectors = {"bundle_label_selector": [selector] * self.workers} if selector else {}
        return PlacementGroupFactory([bundle] * self.workers, strategy="PACK", **selectors)

    def to_task_options(self) -> dict[str, Any]:
        """What a Ray task asks for that is one of the processes."""
        one = self.of_one_worker()
        selector = {"label_selector": self._select()} if self.unfit_nodes else {}
        return {"num_cpus": one.cpus, "num_gpus": one.gpus, "resources": self._special(), **selector}

    def of_one_worker(self) -> TrialResources:
        """What one of the processes gets."""
        return replace(self, cpus=self.cpus / self.workers, gpus=self.gpus / self.workers, workers=1)

    def _special(self) -> dict[str, float]:
        # as Ray itself asks for a type of GPU; each node has 1 of it
        return {f"{ACCELERATOR}{self.gpu_type}": 0.001} if self.gpu_type else {}

    def _select(self, excluded_nodes: Collection[str] = ()) -> dict[str, str]:
        """The nodes that trials may run on, as Ray's label selector; empty where all are."""
        others = sorted({*self.unfit_nodes, *excluded_nodes})
        return {NODE_ID: f"!in({','.join(others)})"} if others else {}


@contextlib.contextmanager
def connect(address: str | None, *, insecure: bool = False) -> Iterator[None]:
    """Be connected to Ray inside the block.

    Args:
        address: A cluster to join (`auto`, `HOST:PORT`); None or `local` starts a Ray of its
            own on this machine and never joins one that happens to run here. Where this process is
            connected already, that connection is used and left.
        insecure: Whether a cluster may be joined that others can reach, and that asks for no token.

    Raises:
        SettingsError: There is no cluster at `address`, or none that may be joined.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import ray

    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    if ray.util.client.ray.is_connected() or (address and is_client(address)):
        raise SettingsError(
            f"address {address or CLIENT}: must be auto or HOST:PORT, as a sweep is driven from inside its cluster. "
            "From outside, `stt-tune tune SWEEP --data DATA --out OUT --address ray://HOST:10001` runs it there."
        )
    if ray.is_initialized():
        yield
        return
    address = address or _OWN
    is_own = address == _OWN
    if is_own:
        say("starting Ray")
    else:
        check_cluster(address, is_insecure_allowed=insecure)
    # without a number of CPUs when joining: Ray refuses one
    ray.init(
        address=address,
        include_dashboard=False if is_own else None,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    try:
        with heeding_interrupts():
            yield
    finally:
        ray.shutdown()


def find_fitting(resources: TrialResources) -> list[str]:
    """Ids of the nodes of the connected cluster that have what a trial asks for, whether it is free or not."""
    one = resources.of_one_worker()
    return [
        node.id
        for node in find_nodes()
        if node.id not in resources.unfit_nodes
        and node.count_slots(one.cpus, one.gpus, gpu_type=resources.gpu_type, gpu_memory_gb=None)
    ]


def find_resources(*, max_concurrent: int | None, per_trial: Mapping[str, Any] | None = None) -> TrialResources:
    """Divide what the connected cluster has, and can grow to, among trials; see `divide`.

    Args:
        max_concurrent: Trials at a time; None: as many as find room.
        per_trial: What each trial gets, where it is not to be found; see `Asked`.

    Raises:
        SettingsError: A trial asks for what there is not and will not be, or for something else.
    """
    from stt_tune.run.division import Asked, divide
    from stt_tune.run.growth import find_growth

    asked = Asked.from_mapping(per_trial or {})
    nodes, growth = find_nodes(), find_growth()
    if asked.gpu_memory_gb is not None:
        nodes = measure_gpu_memory(nodes)
    division = divide(asked, nodes, growth, max_concurrent)
    least_gb = asked.gpu_memory_gb or 0.0
    return TrialResources(
        cpus=division.cpus,
        gpus=division.gpus,
        max_concurrent=division.max_concurrent,
        workers=asked.workers,
        gpu_type=division.gpu_type,
        unfit_nodes=tuple(each.id for each in nodes if each.gpus and (each.gpu_memory_gb or 0.0) < least_gb),
        needed=asked.describe(division.cpus, division.gpus),
    )
