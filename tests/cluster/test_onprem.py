"""`cluster/onprem.yaml` for real: `ray up`, `ray submit`, `ray exec`, `ray down` over sshd, with a token."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from stt_tune.results.trials import TrialTable
from tests.cluster.hosts import Host, running_hosts
from tests.conftest import SMALL_SWEEP

_ROOT = Path(__file__).parents[2]
_ENVIRONMENT = Path(sys.executable).parents[1]
_JOINED_S = 180

pytestmark = pytest.mark.cluster


@dataclass(frozen=True)
class Launched:
    """What a user has who launches a cluster."""

    hosts: list[Host]
    config: Path
    environment: dict[str, str]

    @property
    def token(self) -> str:
        return (Path(self.environment["HOME"]) / ".ray" / "auth_token").read_text()

    def start(self, verb: str, *arguments: object) -> subprocess.Popen[str]:
        command = [_ENVIRONMENT / "bin" / "ray", verb, *map(str, arguments)]
        return subprocess.Popen(
            command, cwd=_ROOT, env=self.environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    def run(self, verb: str, *arguments: object) -> str:
        process = self.start(verb, *arguments)
        output, _nothing = process.communicate(timeout=600)
        assert process.returncode == 0, output
        return output


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    """The cluster of the launch file, with the hosts' addresses, two cores and a GPU that is none on each."""
    folder = tmp_path_factory.mktemp("onprem")
    home = folder / "user"
    (home / ".ray").mkdir(parents=True)
    (home / ".ray" / "auth_token").write_text(secrets.token_hex(32))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "WANDB_"))}
    environment |= {"HOME": str(home), "RAY_AUTH_MODE": "token", "RAY_USAGE_STATS_ENABLED": "0"}
    with running_hosts(folder, 3) as hosts:
        config = folder / "onprem.yaml"
        config.write_text(yaml.safe_dump(_fill_in(hosts)))
        launched = Launched(hosts, config, environment)
        launched.run("up", "-y", config)
        try:
            yield launched
        finally:
            launched.run("down", "-y", config)
        for host in hosts:
            assert host.run("pgrep -f raylet").stdout == ""


def _fill_in(hosts: list[Host]) -> dict[str, object]:
    head, *workers = (host.address for host in hosts)
    config = yaml.safe_load((_ROOT / "cluster" / "onprem.yaml").read_text())
    config["provider"] |= {"head_ip": head, "worker_ips": workers}
    config["auth"] = {"ssh_user": "root", "ssh_private_key": str(hosts[0].key)}
    # in the place of an environment of its own, the one of these tests
    _create, _install, profile = config["setup_commands"]
    config["setup_commands"] = [f"ln -sfn {_ENVIRONMENT} ~/venv", profile]
    for name in ("head_start_ray_commands", "worker_start_ray_commands"):
        config[name] = [
            each.replace("ray start", "ray start --num-cpus=2 --num-gpus=1 --object-store-memory=300000000")
            for each in config[name]
        ]
    return config


def _wait_for_all(launched: Launched) -> None:
    end = time.monotonic() + _JOINED_S
    status = ""
    while time.monotonic() < end:
        status = launched.run("exec", launched.config, "ray status")
        if "/3.0 GPU" in status:
            return
        time.sleep(2)
    pytest.fail(f"not all hosts have joined: {status}")


def test_a_sweep_submitted_to_a_launched_cluster_runs_on_all_hosts_and_shows_no_token(
    launched: Launched, corpus: Path, tmp_path: Path
) -> None:
    _wait_for_all(launched)
    sweep, default, out = tmp_path / "small.yaml", tmp_path / "default.yaml", tmp_path / "run"
    sweep.write_text(SMALL_SWEEP)
    default.write_text("{epochs: 1, batch_size: 8}")
    submitted = launched.start(
        "submit", launched.config, "cluster/run_sweep.py", "--", sweep, "--data", corpus, "--out", out, "--trials", 6,
        "--default", default, "--audio-context", 4, "--scheduler", "none",
    )  # fmt: skip
    seen = 0
    while submitted.poll() is None:
        listed = subprocess.run(["ps", "axwwo", "args"], capture_output=True, text=True).stdout
        seen += "run_sweep.py" in listed
        assert launched.token not in listed
        time.sleep(0.5)
    output = submitted.communicate()[0]
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


def test_a_cluster_that_was_launched_is_not_joined_without_its_token(launched: Launched) -> None:
    head = launched.hosts[0]
    asked = head.run(
        "RAY_AUTH_MODE=token RAY_AUTH_TOKEN=another ~/venv/bin/stt-tune tune none.yaml --data none --address "
        f"{head.address}:6379"
    )
    assert asked.returncode == 2
