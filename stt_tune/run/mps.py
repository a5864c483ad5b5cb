"""Let trials that share a GPU run on it at the same time: NVIDIA's MPS, without which their kernels take turns."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from stt_tune.run.cluster import TrialResources
from stt_tune.run.nodes import call_on, find_nodes

_MPS = "nvidia-cuda-mps-control"
_PATIENCE_S = 30
_GRACE_S = 10  # in which trials that have ended leave it


@contextlib.contextmanager
def sharing(resources: TrialResources) -> Iterator[None]:
    """Inside the block, let trials that get a fraction of a GPU run on it at the same time, and not by turns."""
    if not 0 < resources.gpus < 1:
        yield
        return
    nodes = [node for node in find_nodes() if node.gpus]
    is_new = call_on(start_mps, nodes)
    started = [node for node in nodes if is_new.get(node.id)]
    try:
        yield
    finally:
        call_on(end_mps, started)


def start_mps() -> bool:
    """Start MPS on this machine; False where it is not installed, runs already, or cannot be started."""
    if shutil.which(_MPS) is None or _ask("get_server_list") is not None:
        return False
    logs = Path(tempfile.gettempdir()) / f"nvidia-mps-log-{os.getuid()}"  # its own default is for the superuser
    logs.mkdir(exist_ok=True)
    # it would number the GPUs that it sees anew, and trials ask for theirs by the numbers of the machine
    environment = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    try:
        subprocess.run(
            [_MPS, "-d"],
            env={**environment, "CUDA_MPS_LOG_DIRECTORY": str(logs)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=True,
            timeout=_PATIENCE_S,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return True


def end_mps() -> None:
    """End MPS on this machine, unless another sweep runs on it: whoever uses it would end, too."""
    end = time.monotonic() + _GRACE_S
    while _is_used():
        if time.monotonic() > end:
            return
        time.sleep(1)
    _ask("quit")


def _is_used() -> bool:
    servers = _list_processes("get_server_list")
    return any(_list_processes(f"get_client_list {server}") for server in servers)


def _list_processes(order: str) -> list[str]:
    return [each for each in (_ask(order) or "").split() if each.isdecimal()]


def _ask(order: str) -> str | None:
    """What the daemon answers to an order; None where there is none, or it does not take the order."""
    try:
        told = subprocess.run(
            [_MPS], input=f"{order}\n", text=True, capture_output=True, check=True, timeout=_PATIENCE_S
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return told.stdout.strip()
