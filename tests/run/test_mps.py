"""MPS is started for trials that share a GPU, and ended; a program stands in for NVIDIA's, which needs a GPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from stt_tune.run.cluster import TrialResources
from stt_tune.run.mps import end_mps, sharing, start_mps

_DAEMON = """#!/bin/sh
if [ "$1" = -d ]; then echo "start $CUDA_MPS_LOG_DIRECTORY" >> {folder}/said; touch {folder}/running; exit; fi
read order
echo "$order" >> {folder}/said
test -e {folder}/running || exit 1
case $order in quit*) rm {folder}/running;; esac
"""


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    program = tmp_path / "nvidia-cuda-mps-control"
    program.write_text(_DAEMON.format(folder=tmp_path))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return tmp_path


def test_it_is_started_once_and_ended(daemon: Path) -> None:
    assert start_mps()
    assert (daemon / "running").exists()
    assert not start_mps()  # somebody has, who will end it
    end_mps()
    assert not (daemon / "running").exists()
    said = (daemon / "said").read_text().splitlines()
    assert [line.split()[0] for line in said] == ["get_server_list", "start", "get_server_list", "quit"]
    assert Path(said[1].split()[1]).is_dir()


def test_machines_without_it_go_on_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not start_mps()
    end_mps()


def test_trials_with_whole_gpus_or_none_ask_for_nothing(daemon: Path) -> None:
    for gpus in (0.0, 1.0, 4.0):
        with sharing(TrialResources(cpus=1, gpus=gpus, max_concurrent=1)):
            assert not (daemon / "said").exists()
