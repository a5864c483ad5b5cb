"""Let trials that share a GPU run on it at the same time: NVIDIA's MPS, without which their kernels take turns."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from stt_tune.run.cluster import TrialResources
from stt_tune.run.nodes import call_on, find_nodes

_MPS = "nvidia-cuda-mps-control"
_PATIENCE_S = 30


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
    if shutil.which(_MPS) is None or _tell("get_server_list"):
        return False
    logs = Path(tempfile.gettempdir()) / f"nvidia-mps-log-{os.getuid()}"  # its own default is for the superuser
    logs.mkdir(exist_ok=True)
    try:
        subprocess.run(
            [_MPS, "-d"],
            env={**os.environ, "CUDA_MPS_LOG_DIRECTORY": str(logs)},
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
    """End MPS on this machine, once its last user has ended."""
    _tell("quit -t 1")


def _tell(order: str) -> bool:
    """Whether the daemon has taken an order."""
    try:
        subprocess.run([_MPS], input=f"{order}\n", text=True, capture_output=True, check=True, timeout=_PATIENCE_S)
    except (OSError, subprocess.SubprocessError):
        return False
    return True
