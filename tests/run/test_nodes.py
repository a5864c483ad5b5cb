"""Real clusters of two nodes, one of which fails everything, is taken back, is lost, or runs out of memory."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from stt_tune.results.trials import TrialTable
from stt_tune.run.faults import read_faults
from tests.ray_head import BIN, Head, running_head, start_node
from tests.run.tables import wait_for_table

pytestmark = pytest.mark.slow

_DRIVER = """
import os, sys, time
import ray
from stt_tune import report, run_sweep

ARGUMENTS = sys.argv

def train(config):
    failed = os.path.dirname(ARGUMENTS[1])
    if os.environ.get("IS_BROKEN"):
        open(os.path.join(failed, f"failed-{config['rate']}"), "w").close()
        raise RuntimeError("CUDA driver initialization failed")
    if os.environ.get("IS_GREEDY"):
        held = bytearray(os.urandom(1 << 20) * 4096)
        time.sleep(60)
    while len(ARGUMENTS) > 3 and len([name for name in os.listdir(failed) if name.startswith("failed-")]) < 2:
        time.sleep(0.1)
    for epoch in (1, 2):
        time.sleep(0.5)
        report(epoch=epoch, wer=config["rate"] / epoch)

ray.init(address=sys.argv[2], log_to_driver=False)
while ray.cluster_resources().get("CPU", 0) < 4:
    time.sleep(0.1)
print(next(node["NodeID"] for node in ray.nodes() if node["Labels"].get("kind") == "spot"), flush=True)
sweep = {"method": "random", "metric": {"name": "wer"}, "parameters": {"rate": {"min": 0.0, "max": 1.0}}}
run_sweep(sweep, train, num_trials=12, storage_path=sys.argv[1], wandb_mode="disabled", max_concurrent_trials=4,
          resources_per_trial={"cpu": 1})
"""


@contextlib.contextmanager
def _two_nodes(folder: Path, **environment: str) -> Iterator[tuple[Head, subprocess.Popen[bytes]]]:
    """A head without cores and two nodes; gives the head and the node of the kind `spot`, which has the environment."""
    with running_head(folder, takes_jobs=False, cpus=0) as head:
        spot = start_node(head, folder / "spot.log", cpus=2, labels="kind=spot", **environment)
        other = start_node(head, folder / "other.log", cpus=2)
        try:
            yield head, spot
        finally:
            for node in (spot, other):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(node.pid, signal.SIGKILL)
                node.wait()


def _start_driver(head: Head, run: Path, *also: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _DRIVER, run, head.address, *also]
    return subprocess.Popen(command, env=head.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_node_that_fails_everything_is_set_aside_and_costs_no_trial(tmp_path: Path) -> None:
    with _two_nodes(tmp_path, IS_BROKEN="yes") as (head, _bad), _start_driver(head, tmp_path / "run", "wait") as driver:
        _out, told = driver.communicate(timeout=300)
    assert driver.returncode == 0, told
    table = TrialTable.load(tmp_path / "run" / "trials.parquet")
    assert table.counts() == {"completed": 12}
    log = read_faults(tmp_path / "run" / "faults.jsonl")
    assert [each["outcome"] for each in log].count("set aside") == 1
    failures = [each for each in log if each["outcome"] == "retried"]
    assert 3 <= len(failures) <= 6  # two more may have been on their way there
    assert all("CUDA driver initialization failed" in each["reason"] for each in failures)
    assert len({each["node"] for each in log}) == 1
    assert "it gets no more of this sweep" in told


def test_trials_that_take_all_memory_of_a_node_go_to_another_and_cost_no_sweep(tmp_path: Path) -> None:
    memory = psutil.virtual_memory()
    # Ray's own monitor kills a worker of this node as soon as 2 GB more are in use than are now
    full = (memory.total - memory.available + 2e9) / memory.total
    environment = {"IS_GREEDY": "yes", "RAY_memory_usage_threshold": str(full), "RAY_memory_monitor_refresh_ms": "100"}
    with _two_nodes(tmp_path, **environment) as (head, _spot), _start_driver(head, tmp_path / "run") as driver:
        _out, told = driver.communicate(timeout=400)
    assert driver.returncode == 0, told
    assert TrialTable.load(tmp_path / "run" / "trials.parquet").counts() == {"completed": 12}
    log = read_faults(tmp_path / "run" / "faults.jsonl")
    assert any("due to the node running low on memory" in each["reason"] for each in log), log
    assert len({each["node"] for each in log}) == 1  # also of workers that died before they had begun


@pytest.mark.parametrize(("silent_s", "outcomes"), [(60, set()), (120, {"retried"})])  # Ray gives it up after about 70
def test_a_node_that_is_lost_for_a_while_and_comes_back_costs_no_trial(
    tmp_path: Path, silent_s: float, outcomes: set[str]
) -> None:
    with _two_nodes(tmp_path) as (head, spot), _start_driver(head, tmp_path / "run") as driver:
        _wait_for_a_report(tmp_path / "run")
        # neither dead nor there: what a cable that is pulled looks like to the others
        os.killpg(spot.pid, signal.SIGSTOP)
        time.sleep(silent_s)
        os.killpg(spot.pid, signal.SIGCONT)
        _out, told = driver.communicate(timeout=300)
    assert driver.returncode == 0, told
    table = TrialTable.load(tmp_path / "run" / "trials.parquet")
    assert table.counts() == {"completed": 12}
    assert all([report["epoch"] for report in trial.reports] == [1, 2] for trial in table.trials)
    assert {each["outcome"] for each in read_faults(tmp_path / "run" / "faults.jsonl")} == outcomes


def _wait_for_a_report(run: Path) -> None:
    wait_for_table(run, lambda table: any(trial.reports for trial in table.trials))


def test_trials_of_a_node_that_is_taken_back_go_on_elsewhere(tmp_path: Path) -> None:
    with _two_nodes(tmp_path) as (head, spot), _start_driver(head, tmp_path / "run") as driver:
        assert driver.stdout is not None
        node = driver.stdout.readline().strip()
        _wait_for_a_report(tmp_path / "run")
        drain = [
            BIN / "ray", "drain-node", "--address", head.address, "--node-id", node, "--reason",
            "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "spot", "--deadline-remaining-seconds", "3",
        ]  # fmt: skip
        subprocess.run(drain, env=head.environment, check=True, capture_output=True)
        time.sleep(3)
        os.killpg(spot.pid, signal.SIGKILL)  # as the cloud does after its warning
        _out, told = driver.communicate(timeout=300)
    assert driver.returncode == 0, told
    assert TrialTable.load(tmp_path / "run" / "trials.parquet").counts() == {"completed": 12}
