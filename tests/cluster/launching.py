"""Launch `cluster/onprem.yaml` for real, on hosts that are namespaces of this machine."""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest
import yaml

from tests.cluster.hosts import Host, running_hosts

_ROOT = Path(__file__).parents[2]
_ENVIRONMENT = Path(sys.executable).parents[1]
_JOINED_S = 180


@dataclass(frozen=True)
class Launched:
    """What a user has who launches a cluster."""

    hosts: list[Host]
    config: Path
    environment: dict[str, str]

    @property
    def token(self) -> str:
        return (Path(self.environment["HOME"]) / ".ray" / "auth_token").read_text()

    def start(self, verb: str, *arguments: object, output: IO[str] | int) -> subprocess.Popen[str]:
        command = [_ENVIRONMENT / "bin" / "ray", verb, *map(str, arguments)]
        return subprocess.Popen(
            command, cwd=_ROOT, env=self.environment, text=True, stdout=output, stderr=subprocess.STDOUT
        )

    def run(self, verb: str, *arguments: object) -> str:
        process = self.start(verb, *arguments, output=subprocess.PIPE)
        output, _nothing = process.communicate(timeout=600)
        assert process.returncode == 0, output
        return output


@contextlib.contextmanager
def launched_cluster(folder: Path, count: int) -> Iterator[Launched]:
    """Have the cluster of the launch file inside the block, on `count` hosts with two cores and a GPU that is none.

    All of them have joined.
    """
    home = folder / "user"
    (home / ".ray").mkdir(parents=True)
    (home / ".ray" / "auth_token").write_text(secrets.token_hex(32))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "WANDB_"))}
    environment |= {"HOME": str(home), "RAY_AUTH_MODE": "token", "RAY_USAGE_STATS_ENABLED": "0"}
    with running_hosts(folder, count) as hosts:
        config = folder / "onprem.yaml"
        config.write_text(yaml.safe_dump(_fill_in(hosts)))
        launched = Launched(hosts, config, environment)
        launched.run("up", "-y", config)
        try:
            _wait_for_all(launched)
            yield launched
        finally:
            launched.run("down", "-y", config)
        assert not has_ray(hosts[0])


def _fill_in(hosts: list[Host]) -> dict[str, object]:
    head, *workers = (host.address for host in hosts)
    config = yaml.safe_load((_ROOT / "cluster" / "onprem.yaml").read_text())
    config["provider"] |= {"head_ip": head, "worker_ips": workers}
    config["min_workers"] = config["max_workers"] = len(workers)
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


def has_ray(host: Host) -> bool:
    """Say whether a node of Ray runs there."""
    asked = host.run("pgrep -x raylet")
    assert asked.returncode in (0, 1), asked.stderr  # found, and not found
    return asked.returncode == 0


def _wait_for_all(launched: Launched) -> None:
    end = time.monotonic() + _JOINED_S
    status = ""
    while time.monotonic() < end:
        status = launched.run("exec", launched.config, "ray status")
        if f"/{len(launched.hosts)}.0 GPU" in status:
            return
        time.sleep(2)
    pytest.fail(f"not all hosts have joined: {status}")
