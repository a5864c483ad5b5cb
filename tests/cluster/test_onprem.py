"""A sweep on `cluster/onprem.yaml` for real: `ray up`, `ray submit`, `ray exec`, `ray down` over sshd, with a token."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from stt_tune.results.trials import INTERRUPTED, TrialTable
from stt_tune.run.status import read_status
from tests.cluster.launching import Launched, has_ray, launched_cluster
from tests.conftest import SMALL_SWEEP

pytestmark = pytest.mark.cluster

_ENDED_S = 120


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    with launched_cluster(tmp_path_factory.mktemp("onprem"), 3) as launched:
        yield launched


def test_a_sweep_submitted_to_a_launched_cluster_runs_on_all_hosts_and_shows_no_token(
    launched: Launched, corpus: Path, tmp_path: Path
) -> None:
    sweep, default, out = tmp_path / "small.yaml", tmp_path / "default.yaml", tmp_path / "run"
    sweep.write_text(SMALL_SWEEP)
    default.write_text("{epochs: 1, batch_size: 8}")
    log, seen = tmp_path / "submit.log", 0
    with log.open("w") as file:
        submitted = launched.start(
            "submit", launched.config, "cluster/run_sweep.py", "--", sweep, "--data", corpus, "--out", out,
            "--trials", 6, "--default", default, "--scheduler", "none", output=file,
        )  # fmt: skip
        while submitted.poll() is None:
            listed = subprocess.run(["ps", "axwwo", "args"], capture_output=True, text=True).stdout
            seen += "run_sweep.py" in listed
            assert launched.token not in listed
            time.sleep(0.5)
    output = log.read_text()
    assert submitted.returncode == 0, output
    assert seen
    table = TrialTable.load(out / "trials.parquet")
    assert [trial.status for trial in table.trials] == ["completed"] * 6
    assert json.loads((out / "optimal_config.json").read_text())["trials"] == 6
    for host in launched.hosts:
        assert list((host.home.parent / "ray").glob("session_2*/artifacts/*/sweep/working_dirs/trial-*")), host.name
    for folder in (out, *(host.home.parent / "ray" for host in launched.hosts)):
        found = subprocess.run(["grep", "-rlF", launched.token, folder], capture_output=True, text=True).stdout
        assert found == ""
    assert launched.token not in output


def test_a_connection_that_is_lost_interrupts_the_sweep_and_the_next_one_goes_on_with_it(
    launched: Launched, corpus: Path, small_model: str, tmp_path: Path
) -> None:
    sweep, default, out, log = (tmp_path / name for name in ("small.yaml", "default.yaml", "run", "submit.log"))
    sweep.write_text(SMALL_SWEEP)
    default.write_text("{epochs: 1, batch_size: 8}")
    with log.open("w") as file:
        submitted = launched.start(
            "submit", launched.config, "cluster/run_sweep.py", "--", sweep, "--data", corpus, "--model", small_model,
            "--out", out, "--trials", 12, "--default", default, "--scheduler", "none", output=file,
        )  # fmt: skip
        while "1 of 12 trials done" not in log.read_text():
            assert submitted.poll() is None, log.read_text()
            time.sleep(0.2)
        for each in psutil.Process(submitted.pid).children(recursive=True):
            if each.name() == "ssh":
                each.kill()
        submitted.wait(timeout=_ENDED_S)
    end = time.monotonic() + _ENDED_S
    while (status := read_status(out)).state != INTERRUPTED:
        assert time.monotonic() < end, status
        time.sleep(1)
    assert any(trial.status == INTERRUPTED for trial in TrialTable.load(out / "trials.parquet").trials)
    launched.run("submit", launched.config, "cluster/run_sweep.py", "--", "resume", out)
    assert json.loads((out / "optimal_config.json").read_text())["trials"] == 12


def test_a_cluster_that_was_launched_is_not_joined_without_its_token(
    launched: Launched, corpus: Path, small_model: str, tmp_path: Path
) -> None:
    head, sweep = launched.hosts[0], tmp_path / "small.yaml"
    sweep.write_text(SMALL_SWEEP)
    asked = head.run(
        f"RAY_AUTH_MODE=token RAY_AUTH_TOKEN=another ~/venv/bin/stt-tune tune {sweep} --data {corpus} "
        f"--model {small_model} --out {tmp_path}/run --address {head.address}:6379"
    )
    assert asked.returncode == 2
    assert "hold the cluster's token" in asked.stderr


def test_a_cluster_that_is_taken_down_leaves_no_host_behind(launched: Launched) -> None:
    launched.run("down", "-y", launched.config)
    # it stops the head alone; the others end by themselves when that has been silent for a minute
    end = time.monotonic() + _ENDED_S
    while any(map(has_ray, launched.hosts)):
        assert time.monotonic() < end, [host.run("ps axo args").stdout for host in launched.hosts]
        time.sleep(1)
