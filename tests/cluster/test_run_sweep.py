"""`cluster/run_sweep.py` as a real Ray job on a real local head node."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import SMALL_SWEEP
from tests.ray_head import BIN, Head, running_head

_REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class Project:
    """The files that a user would submit, and where to."""

    head: Head
    folder: Path

    def submit(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        command = [
            BIN / "ray", "job", "submit", "--address", self.head.jobs, "--working-dir", ".", "--", "python",
            "cluster/run_sweep.py", *map(str, arguments),
        ]  # fmt: skip
        return subprocess.run(
            command, cwd=self.folder, env=self.head.environment, capture_output=True, text=True, timeout=300
        )


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    folder = tmp_path_factory.mktemp("project")
    (folder / "cluster").mkdir()
    shutil.copy(_REPOSITORY / "cluster" / "run_sweep.py", folder / "cluster")
    (folder / "small.yaml").write_text(SMALL_SWEEP)
    with running_head(tmp_path_factory.mktemp("head")) as head:
        yield Project(head, folder)


def test_a_submitted_sweep_runs_and_its_exit_code_comes_back(project: Project, corpus: Path, tmp_path: Path) -> None:
    default = tmp_path / "default.yaml"
    default.write_text("{epochs: 1, batch_size: 8}")
    out = tmp_path / "run"
    done = project.submit(
        "small.yaml", "--data", corpus, "--trials", 2, "--default", default, "--audio-context", 4, "--out", out,
        "--max-concurrent", 2,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search("Job .* succeeded", done.stdout + done.stderr)
    assert json.loads((out / "optimal_config.json").read_text())["trials"] == 2


def test_a_submitted_sweep_that_cannot_run_fails_the_submission(project: Project, corpus: Path, tmp_path: Path) -> None:
    failed = project.submit("none.yaml", "--data", corpus, "--out", tmp_path / "run")
    assert failed.returncode != 0
    assert "none.yaml: must be a readable sweep file" in failed.stdout + failed.stderr
    assert "exit code 2" in failed.stdout + failed.stderr
