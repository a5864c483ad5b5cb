from __future__ import annotations

import os
import subprocess
import sys

import pytest
import ray

from stt_tune.errors import SettingsError
from stt_tune.run.cluster import find_resources


def _connect(address: str | None, **environment: str) -> str:
    """Connect in a process of its own, as these tests hold a Ray already; gives what it printed."""
    script = f"""
import ray
from stt_tune.errors import SettingsError
from stt_tune.run.cluster import connect
try:
    with connect({address!r}):
        print("connected to", len(ray.nodes()), "node")
    print("left connected:", ray.is_initialized())
except SettingsError as error:
    print("refused:", error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, **environment}, capture_output=True, text=True, timeout=120
    )
    return done.stdout


def test_without_an_address_a_ray_of_its_own_is_started_whatever_the_environment_says() -> None:
    out = _connect(None, RAY_ADDRESS="127.0.0.1:1")
    assert "connected to 1 node" in out
    assert "left connected: False" in out


def test_an_address_without_a_cluster_is_refused() -> None:
    out = _connect("ray://127.0.0.1:1")
    assert "refused: --address ray://127.0.0.1:1: must be a running Ray cluster, and is not" in out


@pytest.mark.usefixtures("ray_session")
def test_without_gpus_trials_get_all_cores_one_at_a_time_unless_told_otherwise() -> None:
    total = ray.cluster_resources()
    if total.get("GPU"):
        pytest.skip("this machine has GPUs")
    cores = int(total["CPU"])
    alone = find_resources(max_concurrent=None, gpus_per_trial=None)
    assert (alone.cpus, alone.gpus, alone.max_concurrent) == (cores, 0, 1)
    shared = find_resources(max_concurrent=cores, gpus_per_trial=None)
    assert (shared.cpus, shared.max_concurrent) == (1, cores)


@pytest.mark.usefixtures("ray_session")
def test_more_gpus_than_there_are_are_refused() -> None:
    with pytest.raises(SettingsError, match="--gpus-per-trial must be at most the GPUs there are, found 99 of"):
        find_resources(max_concurrent=None, gpus_per_trial=99)
