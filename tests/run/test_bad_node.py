"""A real cluster of two nodes, on one of which everything fails."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from stt_tune.results.trials import TrialTable
from stt_tune.run.faults import read_faults
from tests.ray_head import running_head, start_node

_DRIVER = """
import os, sys, time
import ray
from stt_tune import report, run_sweep

def train(config):
    if os.environ.get("IS_BROKEN"):
        raise RuntimeError("CUDA driver initialization failed")
    for epoch in (1, 2):
        time.sleep(0.5)
        report(epoch=epoch, wer=config["rate"] / epoch)

ray.init(address=sys.argv[2], log_to_driver=False)
while ray.cluster_resources().get("CPU", 0) < 4:
    time.sleep(0.1)
sweep = {"method": "random", "metric": {"name": "wer"}, "parameters": {"rate": {"min": 0.0, "max": 1.0}}}
run_sweep(sweep, train, num_trials=12, storage_path=sys.argv[1], wandb_mode="disabled", max_concurrent_trials=3,
          resources_per_trial={"cpu": 1})
"""


def test_a_node_that_fails_everything_is_set_aside_and_costs_no_trial(tmp_path: Path) -> None:
    with running_head(tmp_path, takes_jobs=False, cpus=0) as head:
        nodes = [
            start_node(head, tmp_path / "bad.log", cpus=2, IS_BROKEN="yes"),
            start_node(head, tmp_path / "good.log", cpus=2),
        ]
        try:
            command = [sys.executable, "-c", _DRIVER, tmp_path / "run", head.address]
            ran = subprocess.run(command, env=head.environment, capture_output=True, text=True, timeout=300)
        finally:
            for node in nodes:
                os.killpg(node.pid, signal.SIGKILL)
                node.wait()
    assert ran.returncode == 0, ran.stderr
    table = TrialTable.load(tmp_path / "run" / "trials.parquet")
    assert table.counts() == {"completed": 12}
    log = read_faults(tmp_path / "run" / "faults.jsonl")
    assert [each["outcome"] for each in log].count("set aside") == 1
    failures = [each for each in log if each["outcome"] == "retried"]
    assert 3 <= len(failures) <= 6  # two more may have been on their way there
    assert all("CUDA driver initialization failed" in each["reason"] for each in failures)
    assert len({each["node"] for each in log}) == 1
    assert "it gets no more of this sweep" in ran.stderr
