"""Connect to Ray and find out what there is to run on."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stt_tune.errors import SettingsError
from stt_tune.progress import say
from stt_tune.run.joining import check_cluster

if TYPE_CHECKING:
    from ray.tune import PlacementGroupFactory

_QUIET = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    # CSV, JSON and TensorBoard copies of what the trial table holds
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # a sweep resumes from its trial table, not from Ray's snapshots
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
    # a diverged trial has no metric in its last report
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
}


@dataclass(frozen=True)
class TrialResources:
    """What one trial gets, and how many run at a time.

    Attributes:
        cpus: Cores.
        gpus: GPUs, or a fraction of one.
        max_concurrent: Trials at a time.
    """

    cpus: float
    gpus: float
    max_concurrent: int

    def to_placement(self, excluded_nodes: Collection[str] = ()) -> PlacementGroupFactory:
        """What Tune asks Ray for, for a trial that is not to run on some nodes.

        Args:
            excluded_nodes: Their ids.
        """
        from ray.tune import PlacementGroupFactory

        bundle = {"CPU": self.cpus, "GPU": self.gpus}
        if not excluded_nodes:
            return PlacementGroupFactory([bundle])
        label = {"ray.io/node-id": f"!in({','.join(sorted(excluded_nodes))})"}
        return PlacementGroupFactory([bundle], bundle_label_selector=[label])


@contextlib.contextmanager
def connect(address: str | None, *, insecure: bool = False) -> Iterator[None]:
    """Be connected to Ray inside the block.

    Args:
        address: A cluster to join (`auto`, `HOST:PORT`); None starts a Ray of its
            own on this machine and never joins one that happens to run here. Where this process is
            connected already, that connection is used and left.
        insecure: Whether a cluster may be joined that others can reach, and that asks for no token.

    Raises:
        SettingsError: There is no cluster at `address`, or none that may be joined.
    """
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    import ray

    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    if ray.is_initialized():
        yield
        return
    if not address:
        say("starting Ray")
    else:
        check_cluster(address, is_insecure_allowed=insecure)
    # without a number of CPUs when joining: Ray refuses one
    ray.init(
        address=address or "local",
        include_dashboard=None if address else False,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    try:
        with _terminated_as_interrupted():
            yield
    finally:
        ray.shutdown()


@contextlib.contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Take SIGTERM, by which schedulers and clouds end a process, for Ctrl-C inside the block; Ray would just exit."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may say what signals do
        return
    before = signal.signal(signal.SIGTERM, lambda *_signal: os.kill(os.getpid(), signal.SIGINT))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def find_nodes(resources: TrialResources) -> list[str]:
    """Ids of the nodes of the connected cluster that have what a trial asks for, whether it is free or not."""
    import ray

    asked = (("CPU", resources.cpus), ("GPU", resources.gpus))
    return [
        node["NodeID"]
        for node in ray.nodes()
        if node["Alive"] and all(node["Resources"].get(name, 0) >= amount for name, amount in asked)
    ]


def find_resources(*, max_concurrent: int | None, per_trial: Mapping[str, float] | None = None) -> TrialResources:
    """Divide what the connected cluster has among trials.

    With GPUs: one each, or as many as asked for. Without: one trial after another on all cores, or
    `max_concurrent` that share them.

    Args:
        max_concurrent: Trials at a time; None: as many as there are GPUs, or one.
        per_trial: `cpu` and `gpu` that each trial gets, where they are not to be found.

    Raises:
        SettingsError: A trial asks for more than there is, or for something else.
    """
    import ray

    asked = dict(per_trial or {})
    total = ray.cluster_resources()
    there = {"cpu": total.get("CPU", 1), "gpu": total.get("GPU", 0)}
    for name, amount in asked.items():
        if name not in there:
            raise SettingsError(f"resources per trial: must be cpu or gpu, found {name!r}.")
        if not 0 <= amount <= there[name]:
            raise SettingsError(
                f"{name}s per trial must be at least 0 and at most the {there[name]:g} there are, found {amount:g}."
            )
    gpus = asked.get("gpu", 1.0 if there["gpu"] else 0.0)
    slots = max_concurrent or (int(there["gpu"] / gpus) if gpus else 1)
    cpus = asked.get("cpu", max(there["cpu"] // slots, 1))
    most = int(there["cpu"] / cpus) if cpus else slots
    return TrialResources(cpus=cpus, gpus=gpus, max_concurrent=max(min(slots, most), 1))
