from __future__ import annotations

import os
import subprocess
import sys

import pytest
import ray

from stt_tune.errors import SettingsError
from stt_tune.run.cluster import find_resources


def _connect(*addresses: str | None, **environment: str) -> str:
    """Connect in a process of its own, as these tests hold a Ray already; gives what it printed."""
    script = f"""
import ray
from stt_tune.run.cluster import connect
for address in {addresses!r}:
    with connect(address):
        print("connected to", len(ray.nodes()), "node")
    print("left connected:", ray.is_initialized())
"""
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, **environment}, capture_output=True, text=True, timeout=120
    )
    return done.stdout


def test_without_an_address_a_ray_of_its_own_is_started_whatever_the_environment_says() -> None:
    out = _connect(None, "local", RAY_ADDRESS="127.0.0.1:1")
    assert out == 2 * "connected to 1 node\nleft connected: False\n"


@pytest.mark.usefixtures("ray_session")
def test_without_gpus_trials_get_all_cores_one_at_a_time_unless_told_otherwise() -> None:
    total = ray.cluster_resources()
    if total.get("GPU"):
        pytest.skip("this machine has GPUs")
    cores = int(total["CPU"])
    alone = find_resources(max_concurrent=None)
    assert (alone.cpus, alone.gpus, alone.max_concurrent) == (cores, 0, 1)
    shared = find_resources(max_concurrent=cores)
    assert (shared.cpus, shared.max_concurrent) == (1, cores)


@pytest.mark.usefixtures("ray_session")
def test_more_gpus_than_there_are_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"a trial needs 99 GPUs and 1 core on one node; the cluster has: 1 node"):
        find_resources(max_concurrent=None, per_trial={"gpu": 99})


@pytest.mark.usefixtures("ray_session")
def test_cores_that_are_asked_for_bound_the_trials_at_a_time() -> None:
    cores = int(ray.cluster_resources()["CPU"])
    halves = find_resources(max_concurrent=100, per_trial={"cpu": 0.5, "gpu": 0})
    assert (halves.cpus, halves.max_concurrent) == (0.5, min(2 * cores, 100))
    with pytest.raises(SettingsError, match=r"resources per trial: must be one of cpu, gpu, .*, found 'tpu'"):
        find_resources(max_concurrent=None, per_trial={"tpu": 1})
