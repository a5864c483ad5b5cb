"""A real head node in a Ray session of its own."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml
from ray.autoscaler._private.fake_multi_node.node_provider import FAKE_HEAD_NODE_ID, FAKE_HEAD_NODE_TYPE

BIN = Path(sys.executable).parent
_READY_S = 90


@dataclass(frozen=True)
class Head:
    """A running head node.

    Attributes:
        environment: Of processes that may join it.
        address: Where others join.
        client: Where Ray clients do.
        jobs: Where jobs are submitted.
    """

    environment: dict[str, str]
    address: str
    client: str
    jobs: str


@contextlib.contextmanager
def running_head(
    folder: Path,
    *,
    has_token: bool = True,
    takes_jobs: bool = True,
    cpus: int = 2,
    node_types: Mapping[str, Any] | None = None,
) -> Iterator[Head]:
    """Run a head node inside the block.

    Args:
        folder: Where it writes what it says.
        has_token: Whether it asks for a token.
        takes_jobs: Whether it has a job server, which takes long to start.
        cpus: That trials may use there.
        node_types: What an autoscaler on it may start, on this machine; the head has no cores then.
    """
    host = ray.util.get_node_ip_address()
    own = {"PATH": f"{BIN}:{os.environ['PATH']}", "RAY_USAGE_STATS_ENABLED": "0", "HOME": str(folder)}
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    environment = {**os.environ, **own, **(token if has_token else {"RAY_AUTH_MODE": "disabled"})}
    environment.pop("RAY_ADDRESS", None)
    # free ports, so that another Ray on this machine is left alone
    port, dashboard_port, client_port, agent_port = _free_ports(host)
    head = Head(environment, f"{host}:{port}", f"ray://{host}:{client_port}", f"http://127.0.0.1:{dashboard_port}")
    start = [
        BIN / "ray", "start", "--head", "--node-ip-address", host, "--port", port, "--dashboard-host", "127.0.0.1",
        "--dashboard-port", dashboard_port, "--ray-client-server-port", client_port,
        "--dashboard-agent-listen-port", agent_port, "--num-cpus", str(cpus), "--disable-usage-stats", "--block",
        "--include-dashboard", str(takes_jobs).lower(),
    ]  # fmt: skip
    if node_types is not None:
        config = folder / "autoscaling.yaml"
        config.write_text(yaml.safe_dump(_autoscaling(head.address, node_types)))
        start += ["--num-cpus", "0", "--autoscaling-config", config]
        environment |= {"RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1"}
        environment |= {"RAY_OVERRIDE_NODE_ID_FOR_TESTING": FAKE_HEAD_NODE_ID}
    log = folder / "head.log"
    with (
        log.open("w") as output,
        subprocess.Popen(start, env=environment, stdout=output, stderr=subprocess.STDOUT) as process,
    ):
        try:
            if takes_jobs:
                _wait_for_jobs(head, process, log)
            else:
                _wait_for_start(process, log)
            yield head
        finally:
            process.terminate()
            process.wait(timeout=60)


def start_node(
    head: Head,
    log: Path,
    *,
    cpus: int = 1,
    gpus: int = 0,
    labels: str = "",
    resources: Mapping[str, float] | None = None,
    **environment: str,
) -> subprocess.Popen[bytes]:
    """Let a node of this machine join; it leads its process group, and ends with it.

    Args:
        head: Of the cluster.
        log: What it says goes there.
        cpus: That trials may use there.
        gpus: The same; none of them is real.
        labels: Of the node, such as `kind=spot`.
        resources: That it has besides.
        environment: What else the processes there find in theirs.
    """
    start = [
        BIN / "ray", "start", "--address", head.address, "--num-cpus", str(cpus), "--num-gpus", str(gpus),
        "--object-store-memory", "200000000", "--disable-usage-stats", "--block",
        "--resources", json.dumps(dict(resources or {})), *(("--labels", labels) if labels else ()),
    ]  # fmt: skip
    with log.open("w") as output:
        process = subprocess.Popen(
            start, env={**head.environment, **environment}, stdout=output, stderr=output, start_new_session=True
        )
    _wait_for_start(process, log)  # of two that start at the same time, one may find its ports taken
    return process


@contextlib.contextmanager
def joined_node(head: Head, folder: Path, hidden: Path) -> Iterator[None]:
    """Have another node inside the block, for which a folder of its own lies over `hidden`.

    Args:
        head: What it joins.
        folder: Where it writes what it says.
        hidden: A folder; made if it is missing.
    """
    hidden.mkdir(parents=True, exist_ok=True)
    if subprocess.run(["unshare", "--mount", "mount", "-t", "tmpfs", "none", hidden], capture_output=True).returncode:
        pytest.skip("a node that sees other files: mount namespaces are not allowed here")
    start = f"mount -t tmpfs none {hidden} && exec {BIN}/ray start --address {head.address} --num-cpus 2 --block"
    log = folder / "node.log"
    with (
        log.open("w") as output,
        subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", start], env=head.environment, stdout=output, stderr=subprocess.STDOUT
        ) as process,
    ):
        try:
            _wait_for_start(process, log)
            yield
        finally:
            process.terminate()
            process.wait(timeout=60)


def _wait_for_start(process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + _READY_S
    while "Ray runtime started" not in log.read_text():
        if process.poll() is not None or time.monotonic() > end:
            pytest.fail(f"the node did not start: {log.read_text()}")
        time.sleep(0.2)


def _autoscaling(address: str, node_types: Mapping[str, Any]) -> dict[str, Any]:
    """What Ray's autoscaler follows, with its provider of nodes that are processes of this machine."""
    lists = ("initialization", "setup", "head_setup", "worker_setup", "head_start_ray", "worker_start_ray")
    return {
        "cluster_name": "growing",
        "max_workers": 8,
        "upscaling_speed": 1.0,
        "idle_timeout_minutes": 5,
        "provider": {"type": "fake_multinode", "head_node_id": FAKE_HEAD_NODE_ID, "gcs_address": address},
        "head_node_type": FAKE_HEAD_NODE_TYPE,
        "available_node_types": {
            FAKE_HEAD_NODE_TYPE: {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
            **node_types,
        },
        "auth": {},
        "docker": {},
        "file_mounts": {},
        "cluster_synced_files": [],
        "file_mounts_sync_continuously": False,
        "rsync_exclude": [],
        "rsync_filter": [],
        **{f"{name}_commands": [] for name in lists},
    }


def _free_ports(host: str) -> list[str]:
    # below the ports that Ray keeps for its workers
    free: list[str] = []
    for port in range(6500 + os.getpid() % 2000, 10000):
        with socket.socket() as each, contextlib.suppress(OSError):
            each.bind((host, port))
            free.append(str(port))
        if len(free) == 4:
            break
    return free


def _wait_for_jobs(head: Head, process: subprocess.Popen[bytes], log: Path) -> None:
    command = [BIN / "ray", "job", "submit", "--address", head.jobs, "--", "true"]
    asked, end = None, time.monotonic() + _READY_S
    while time.monotonic() < end:
        if process.poll() is not None:
            pytest.fail(f"the head node did not start: {log.read_text()}")
        asked = subprocess.run(command, env=head.environment, capture_output=True, text=True)
        if asked.returncode == 0:
            return
    pytest.fail(f"the head node's job server did not answer: {asked.stderr if asked else ''}")
