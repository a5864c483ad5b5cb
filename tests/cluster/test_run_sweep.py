"""A sweep as a job of a real local head node: by `cluster/run_sweep.py`, and by `--address ray://`."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from stt_tune.results.trials import TrialTable
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

    def start_outside(self, *arguments: object) -> subprocess.Popen[str]:
        command = [BIN / "stt-tune", "tune", *map(str, arguments), "--address", self.head.client]
        return subprocess.Popen(
            command, cwd=self.folder, env=self.head.environment, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )  # fmt: skip


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    folder = tmp_path_factory.mktemp("project")
    (folder / "cluster").mkdir()
    shutil.copy(_REPOSITORY / "cluster" / "run_sweep.py", folder / "cluster")
    (folder / "small.yaml").write_text(SMALL_SWEEP)
    with running_head(tmp_path_factory.mktemp("head")) as head:
        yield Project(head, folder)


@pytest.mark.cluster
def test_a_submitted_sweep_runs_and_its_exit_code_comes_back(project: Project, corpus: Path, tmp_path: Path) -> None:
    default = tmp_path / "default.yaml"
    default.write_text("{epochs: 1, batch_size: 8}")
    out = tmp_path / "run"
    done = project.submit(
        "small.yaml", "--data", corpus, "--trials", 2, "--default", default, "--out", out,
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


@pytest.mark.cluster
def test_a_sweep_from_outside_runs_on_the_head_and_only_what_it_prints_is_on_stdout(
    project: Project, corpus: Path, small_model: str, tmp_path: Path
) -> None:
    default, out = tmp_path / "default.yaml", tmp_path / "run"
    default.write_text("{epochs: 1, batch_size: 8}")
    done = project.start_outside(
        "small.yaml", "--data", corpus, "--trials", 1, "--default", default, "--out", out,
        "--model", small_model, "--json-lines",
    )  # fmt: skip
    assert done.stdout
    first = done.stdout.readline()
    assert done.poll() is None  # it comes while the sweep runs
    stdout, stderr = done.communicate(timeout=300)
    assert done.returncode == 0, stderr
    events = [json.loads(line) for line in (first + stdout).splitlines()]
    assert [each["event"] for each in events] == [
        "sweep_started", "trial_started", "report", "trial_ended", "sweep_ended", "result"
    ]  # fmt: skip
    assert events[-1]["result"]["trials"] == 1
    assert re.search("running as job stt-tune-.* on the cluster", stderr)
    assert json.loads((out / "run.json").read_text())["settings"]["address"] == "auto"
    assert project.head.environment["RAY_AUTH_TOKEN"] not in stdout + stderr


@pytest.mark.cluster
def test_a_sweep_from_outside_that_cannot_run_there_says_so_here(project: Project, tmp_path: Path) -> None:
    failed = project.start_outside("small.yaml", "--data", tmp_path / "none.jsonl", "--out", tmp_path / "run")
    stdout, stderr = failed.communicate(timeout=300)
    assert failed.returncode == 2, stderr
    assert "none.jsonl: the manifest must be a readable file" in stderr
    assert stdout == ""


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["small.yaml", "--data", "here.jsonl", "--out", "/run"], "--data must be an absolute path on the cluster"),
        (["small.yaml", "--data", "/there.jsonl"], "--out must be an absolute path on the cluster or a URL"),
        (["none.yaml", "--data", "/there.jsonl", "--out", "/run"], "none.yaml: must be a readable file"),
        (
            ["small.yaml", "--data", "/there.jsonl", "--out", "/run", "--model", "./mine"],
            "--model must be an absolute path on the cluster",
        ),
    ],
)
def test_a_sweep_from_outside_is_refused_before_it_is_sent(
    project: Project, arguments: list[str], expected: str
) -> None:
    refused = project.start_outside(*arguments)
    stdout, stderr = refused.communicate(timeout=60)
    assert (refused.returncode, stdout) == (2, "")
    assert expected in stderr


@pytest.mark.slow
def test_ctrl_c_outside_stops_the_sweep_on_the_head(project: Project, corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    started = project.start_outside(
        "small.yaml", "--data", corpus, "--trials", 9, "--out", out
    )  # fmt: skip
    said = ""
    assert started.stderr
    while "1 of 9" not in said:
        line = started.stderr.readline()
        assert line, said
        said += line
    started.send_signal(signal.SIGINT)
    stderr = started.communicate(timeout=120)[1]
    assert started.returncode == 130, stderr
    assert f"Continue with: stt-tune resume {out}" in stderr
    assert "stt-tune resume has to run on the cluster, too" in stderr
    assert TrialTable.load(out / "trials.parquet").trials
