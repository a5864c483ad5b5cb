"""A real Ray cluster whose nodes say that they have GPUs, for what is decided before a GPU is touched."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.ray_head import running_head, start_node

_ROOT = Path(__file__).parents[2]


@contextlib.contextmanager
def running_cluster(folder: Path) -> Iterator[str]:
    """Run a head without cores, a node with an A10G and one with two H100s; gives the cluster's address.

    The last has a driver's program that says how much memory they have.
    """
    program = folder / "nvidia-smi"
    program.write_text("#!/bin/sh\nprintf '81559\\n81559\\n'\n")
    program.chmod(0o755)
    path = f"{folder}:{os.environ['PATH']}"
    with running_head(folder, has_token=False, takes_jobs=False, cpus=0) as head:
        nodes = [
            start_node(head, folder / "a10g.log", cpus=4, gpus=1, resources={"accelerator_type:A10G": 1}),
            start_node(head, folder / "h100.log", cpus=8, gpus=2, resources={"accelerator_type:H100": 1}, PATH=path),
        ]
        try:
            yield head.address
        finally:
            for node in nodes:
                os.killpg(node.pid, signal.SIGKILL)
                node.wait()


def ask(address: str, script: str) -> Any:
    """Run a script in a process of its own, connected to a cluster, and give what it has put into `answer`.

    The tests' own process holds another Ray.
    """
    whole = f"""
import json, ray
from stt_tune.errors import SttTuneError
from stt_tune.run.cluster import connect, find_resources
from stt_tune.run.nodes import find_nodes
answer = {{}}
with connect({address!r}, insecure=True):
    kinds = {{each.id: each.gpu_type or "" for each in find_nodes()}}
{"".join(f"    {line}" + chr(10) for line in script.strip().splitlines())}
print("ANSWER", json.dumps(answer))
"""
    environment = {**os.environ, "PYTHONPATH": str(_ROOT), "RAY_AUTH_MODE": "disabled"}
    done = subprocess.run([sys.executable, "-c", whole], env=environment, capture_output=True, text=True, timeout=180)
    answers = [line.removeprefix("ANSWER ") for line in done.stdout.splitlines() if line.startswith("ANSWER ")]
    assert answers, done.stdout + done.stderr
    return {**json.loads(answers[0]), "stderr": done.stderr}
