"""`cluster/run_sweep.py` as a real Ray job on a real local head node."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import SMALL_SWEEP

_REPOSITORY = Path(__file__).parents[2]
_BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Head:
    """A running head node."""

    environment: dict[str, str]
    jobs: str

    def submit(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        command = [
            _BIN / "ray", "job", "submit", "--address", self.jobs, "--working-dir", ".", "--", "python",
            "cluster/run_sweep.py", *map(str, arguments),
        ]  # fmt: skip
        return subprocess.run(
            command, cwd=self.environment["PROJECT"], env=self.environment, capture_output=True, text=True, timeout=300
        )


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    """A head node in a Ray session of its own, and the files that a user would submit."""
    project = tmp_path_factory.mktemp("project")
    (project / "cluster").mkdir()
    shutil.copy(_REPOSITORY / "cluster" / "run_sweep.py", project / "cluster")
    (project / "small.yaml").write_text(SMALL_SWEEP)
    environment = {
        **os.environ,
        "PATH": f"{_BIN}:{os.environ['PATH']}",
        "PROJECT": str(project),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
    }
    environment.pop("RAY_ADDRESS", None)
    # free ports, so that another Ray on this machine is left alone
    port, dashboard_port, client_port, agent_port = _free_ports(4)
    head = Head(environment, f"http://127.0.0.1:{dashboard_port}")
    start = [
        _BIN / "ray", "start", "--head", "--port", port, "--dashboard-host", "127.0.0.1", "--dashboard-port",
        dashboard_port, "--ray-client-server-port", client_port, "--dashboard-agent-listen-port", agent_port,
        "--num-cpus", "2", "--disable-usage-stats", "--block",
    ]  # fmt: skip
    log = project / "head.log"
    with (
        log.open("w") as output,
        subprocess.Popen(start, env=environment, stdout=output, stderr=subprocess.STDOUT) as process,
    ):
        try:
            _wait_until_ready(head, process, log)
            yield head
        finally:
            process.terminate()
            process.wait(timeout=60)


def _free_ports(count: int) -> list[str]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [str(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _wait_until_ready(head: Head, process: subprocess.Popen[bytes], log: Path) -> None:
    command = [_BIN / "ray", "job", "submit", "--address", head.jobs, "--", "true"]
    for _ in range(30):
        if process.poll() is not None:
            pytest.fail(f"the head node did not start: {log.read_text()}")
        asked = subprocess.run(command, env=head.environment, capture_output=True, text=True)
        if asked.returncode == 0:
            return
    pytest.fail(f"the head node's job server did not answer: {asked.stderr}")


def test_a_submitted_sweep_runs_and_its_exit_code_comes_back(head: Head, corpus: Path, tmp_path: Path) -> None:
    default = tmp_path / "default.yaml"
    default.write_text("{epochs: 1, batch_size: 8}")
    out = tmp_path / "run"
    done = head.submit(
        "small.yaml", "--data", corpus, "--trials", 2, "--default", default, "--audio-context", 4, "--out", out,
        "--max-concurrent", 2,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search("Job .* succeeded", done.stdout + done.stderr)
    assert json.loads((out / "optimal_config.json").read_text())["trials"] == 2


def test_a_submitted_sweep_that_cannot_run_fails_the_submission(head: Head, corpus: Path, tmp_path: Path) -> None:
    failed = head.submit("none.yaml", "--data", corpus, "--out", tmp_path / "run")
    assert failed.returncode != 0
    assert "none.yaml: must be a readable sweep file" in failed.stdout + failed.stderr
    assert "exit code 2" in failed.stdout + failed.stderr
