"""MPS is started for trials that share a GPU, and ended; a program stands in for NVIDIA's, which needs a GPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from stt_tune.run import mps
from stt_tune.run.cluster import TrialResources
from stt_tune.run.mps import end_mps, sharing, start_mps

_DAEMON = """#!/bin/sh
if [ "$1" = -d ]; then
  echo "start $CUDA_MPS_LOG_DIRECTORY ${{CUDA_VISIBLE_DEVICES-all}}" >> {folder}/said; touch {folder}/running; exit
fi
read order
echo "$order" >> {folder}/said
test -e {folder}/running || exit 1
case $order in
  get_server_list) echo 4711;;
  "get_client_list 4711") cat {folder}/clients 2>/dev/null;;
  quit) rm {folder}/running;;
esac
exit 0
"""


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    program = tmp_path / "nvidia-cuda-mps-control"
    program.write_text(_DAEMON.format(folder=tmp_path))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return tmp_path


def test_it_is_started_once_and_ended(daemon: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    assert start_mps()
    assert (daemon / "running").exists()
    assert not start_mps()  # somebody has, who will end it
    end_mps()
    assert not (daemon / "running").exists()
    said = (daemon / "said").read_text().splitlines()
    assert said[0] == "get_server_list"
    started, logs, visible = said[1].split()
    assert (started, visible) == ("start", "all")  # trials ask for GPUs by the numbers of the machine
    assert Path(logs).is_dir()
    assert said[2:] == ["get_server_list", "get_server_list", "get_client_list 4711", "quit"]


def test_it_stays_for_others_that_use_it(daemon: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mps, "_GRACE_S", 0)
    assert start_mps()
    (daemon / "clients").write_text("123\n456\n")
    end_mps()
    assert (daemon / "running").exists()
    (daemon / "clients").write_text("")
    end_mps()
    assert not (daemon / "running").exists()


def test_machines_without_it_go_on_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not start_mps()
    end_mps()


def test_trials_with_whole_gpus_or_none_ask_for_nothing(daemon: Path) -> None:
    for gpus in (0.0, 1.0, 4.0):
        with sharing(TrialResources(cpus=1, gpus=gpus, max_concurrent=1)):
            assert not (daemon / "said").exists()
