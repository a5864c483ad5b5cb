"""Connect to Ray and find out what there is to run on."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass

from stt_tune.errors import SettingsError

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


@contextlib.contextmanager
def connect(address: str | None) -> Iterator[None]:
    """Be connected to Ray inside the block.

    Args:
        address: A cluster to join (`auto`, `HOST:PORT`, `ray://...`); None starts a Ray of its
            own on this machine and never joins one that happens to run here. Where this process is
            connected already, that connection is used and left.

    Raises:
        SettingsError: There is no cluster at `address`.
    """
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    import ray

    if ray.is_initialized():
        yield
        return
    # without a number of CPUs when joining: Ray refuses one
    try:
        ray.init(
            address=address or "local",
            include_dashboard=None if address else False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (ConnectionError, ValueError) as error:
        raise SettingsError(f"--address {address}: must be a running Ray cluster, and is not ({error}).") from error
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        ray.shutdown()


def find_resources(*, max_concurrent: int | None, gpus_per_trial: float | None) -> TrialResources:
    """Divide what the connected cluster has among trials.

    With GPUs: one each, or as many as asked for. Without: one trial after another on all cores, or
    `max_concurrent` that share them.

    Raises:
        SettingsError: A trial asks for more GPUs than there are.
    """
    import ray

    total = ray.cluster_resources()
    cpus, gpus = int(total.get("CPU", 1)), total.get("GPU", 0)
    if gpus_per_trial and gpus_per_trial > gpus:
        raise SettingsError(
            f"--gpus-per-trial must be at most the GPUs there are, found {gpus_per_trial:g} of {gpus:g}."
        )
    per_trial = (1.0 if gpus else 0.0) if gpus_per_trial is None else gpus_per_trial
    slots = int(gpus / per_trial) if per_trial else 1
    concurrent = max_concurrent or slots
    return TrialResources(cpus=max(cpus // concurrent, 1), gpus=per_trial, max_concurrent=min(concurrent, cpus))
