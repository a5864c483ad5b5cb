"""A real autoscaler, whose nodes are processes of this machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.ray_head import running_head

_SCRIPT = """
import sys
from pathlib import Path
from stt_tune.run.cluster import connect, find_resources
from stt_tune.run.growth import find_growth
from stt_tune.run.sweep import run_sweep

with connect(sys.argv[1], insecure=True):
    print("growth:", find_growth())
    found = find_resources(max_concurrent=None)
    print("resources:", found.cpus, found.gpus, found.max_concurrent)
    sweep = {"name": "grown", "method": "grid", "metric": {"name": "wer", "goal": "minimize"},
             "parameters": {"x": {"values": [0.1, 0.2]}}}
    done = run_sweep(sweep, lambda config: {"wer": config["x"]}, storage_path=Path(sys.argv[2]), wandb_mode="disabled")
    print("completed:", done.table.counts()["completed"])
"""


@pytest.mark.slow
def test_a_cluster_that_starts_from_nothing_grows_to_what_trials_need(tmp_path: Path) -> None:
    gpu = {"resources": {"CPU": 1, "GPU": 1, "accelerator_type:L4": 1}, "node_config": {}, "max_workers": 2}
    with running_head(tmp_path, has_token=False, node_types={"gpu": gpu}) as head:
        command = [sys.executable, "-c", _SCRIPT, head.address, str(tmp_path / "run")]
        done = subprocess.run(command, env=head.environment, capture_output=True, text=True, timeout=200)
    kind = "Node(id='', cpus=1, gpus=1, gpu_type='L4', gpu_memory_gb=24, count=2)"
    assert f"growth: Growth(is_possible=True, kinds=({kind},), most=8)" in done.stdout, done.stderr
    assert "resources: 1 1.0 2" in done.stdout
    assert "completed: 2" in done.stdout, done.stderr
