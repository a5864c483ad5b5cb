"""Two real nodes, one of which does not see what the other one writes."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from stt_tune.run.faults import read_faults
from tests.ray_head import joined_node, running_head
from tests.s3 import running_s3

pytestmark = pytest.mark.slow

_SCRIPT = """
import json, sys
from pathlib import Path
from stt_tune.errors import SttTuneError
from stt_tune.run import visibility
from stt_tune.run.cluster import TrialResources, connect
from stt_tune.run.folder import RunFolder
from stt_tune.run.sweep import run_sweep
from tests.run.synthetic import DEFAULT, SWEEP, falling, slow

def run(folder, train, trials=4):
    try:
        result = run_sweep(
            SWEEP, train, num_trials=trials, storage_path=folder, resources_per_trial={"cpu": 1}, scheduler="none",
            max_concurrent_trials=4, wandb_mode="disabled", default=DEFAULT,
        )
    except SttTuneError as error:
        return {"error": f"{type(error).__name__}: {error}", "is_left": Path(folder).exists()}
    trials = [(trial.status, trial.error) for trial in result.table.trials]
    return {"trials": trials, "folder": str(result.folder.path)}

address, hidden, shared = sys.argv[1:]
with connect(address):
    found = {"hidden": run(f"{hidden}/run", falling), "shared": run(f"{shared}/run", falling, 1)}
    found["url"] = run("s3://bucket/visibility/run", falling)
    try:  # two cores a node, so that no trial finds room on one
        visibility.check_visible(RunFolder(Path(hidden, "wide")), TrialResources(4, 0, 1, workers=2))
    except SttTuneError as error:
        found["wide"] = {"error": str(error)}
    visibility._ask_all = lambda *_: ([], {})  # as before the node has joined
    found["late"] = run(f"{hidden}/late", slow)
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Found:
    """What came of sweeps in a folder that one of two nodes does not see, and of one in a folder that both see."""

    folder: Path
    address: str
    sweeps: dict[str, Any]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    folder = tmp_path_factory.mktemp("nodes")
    hidden, shared = folder / "hidden", folder / "shared"
    with running_s3(), running_head(folder, takes_jobs=False) as head, joined_node(head, folder, hidden):
        environment = {**head.environment, "XDG_CACHE_HOME": str(hidden / "cache")}
        done = subprocess.run(
            [sys.executable, "-c", _SCRIPT, head.address, hidden, shared], env=environment, text=True,
            capture_output=True, cwd=Path(__file__).parents[2], timeout=180,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return Found(hidden, head.address.partition(":")[0], json.loads(done.stdout.splitlines()[-1]))


def test_a_folder_that_a_node_does_not_see_is_told_before_the_first_trial(found: Found) -> None:
    refused = found.sweeps["hidden"]
    assert refused["error"].startswith(f"SettingsError: --out {found.folder}/run: must lie where every node of the ")
    assert f"({found.address}) found no such folder. Name a folder on a disk that all nodes share" in refused["error"]
    assert not refused["is_left"]


def test_a_node_is_asked_that_has_room_for_one_of_a_trials_processes(found: Found) -> None:
    assert f"({found.address}) found no such folder" in found.sweeps["wide"]["error"]


def test_a_folder_that_all_nodes_see_is_taken(found: Found) -> None:
    assert found.sweeps["shared"]["trials"] == [["completed", None]]
    assert list((found.folder.parent / "shared" / "run").glob(".driver-*")) == []


def test_a_url_needs_no_folder_that_nodes_share(found: Found) -> None:
    assert found.sweeps["url"]["trials"] == [["completed", None]] * 4
    assert Path(found.sweeps["url"]["folder"]).is_relative_to(found.folder)


def test_a_node_that_joins_later_finds_out_and_its_trials_go_to_another(found: Found) -> None:
    assert [status for status, _error in found.sweeps["late"]["trials"]] == ["completed"] * 4
    log = read_faults(found.folder / "late" / "faults.jsonl")
    assert log
    for each in log:
        assert each["outcome"] == "retried"
        assert f"--out {found.folder}/late: must lie where every node of the cluster sees" in each["reason"]
        assert f"and {found.address} found no such folder." in each["reason"]
