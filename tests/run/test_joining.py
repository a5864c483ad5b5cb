"""Real heads, with a token and without."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from stt_tune.run import joining
from tests.ray_head import Head, running_head


def _join(address: str, environment: dict[str, str], *, insecure: bool = False, patience_s: int = 60) -> str:
    """Join in a process of its own, and give what it printed."""
    script = f"""
from stt_tune.errors import SettingsError
from stt_tune.run import joining
from stt_tune.run.cluster import connect
joining._PATIENCE_S = {patience_s}
try:
    with connect({address!r}, insecure={insecure}):
        import ray
        print("joined:", len(ray.nodes()), "node")
except SettingsError as error:
    print("refused:", error)
"""
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=120)
    return done.stdout + done.stderr


def _check(address: str, environment: dict[str, str], *, insecure: bool = False) -> str:
    """Check in a process of its own whether a cluster may be joined, also one that sweeps are sent to."""
    script = f"""
from stt_tune.errors import SettingsError
from stt_tune.run.joining import check_cluster
try:
    check_cluster({address!r}, is_insecure_allowed={insecure})
    print("may be joined")
except SettingsError as error:
    print("refused:", error)
"""
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=120)
    return done.stdout


def _without_token(head: Head) -> dict[str, str]:
    return {name: value for name, value in head.environment.items() if not name.startswith("RAY_AUTH")}


@pytest.mark.cluster
def test_a_cluster_with_a_token_is_joined_with_that_token_alone(tmp_path: Path) -> None:
    with running_head(tmp_path) as head:
        assert "joined: 1 node" in _join(head.address, head.environment)
        assert "driven from inside its cluster" in _join(head.client, head.environment)
        assert _check(head.client, head.environment) == "may be joined\n"
        for environment in (_without_token(head), {**head.environment, "RAY_AUTH_TOKEN": "another"}):
            said = _join(head.address, environment, patience_s=8)
            assert f"refused: --address {head.address}: must be a running Ray cluster" in said
            assert "RAY_AUTH_TOKEN (or ~/.ray/auth_token) hold the cluster's token" in said
            assert head.environment["RAY_AUTH_TOKEN"] not in said


@pytest.mark.cluster
def test_a_cluster_that_others_reach_without_a_token_is_joined_only_on_purpose(tmp_path: Path) -> None:
    with running_head(tmp_path, has_token=False) as head:
        said = _join(head.address, head.environment)
        assert f"refused: --address {head.address}: must ask for a token, since others can reach it" in said
        assert "--insecure-cluster" in said
        assert "joined: 1 node" in _join(head.address, head.environment, insecure=True)


@pytest.mark.cluster
def test_a_token_of_ones_own_does_not_protect_a_cluster_that_asks_for_none(tmp_path: Path) -> None:
    with running_head(tmp_path, has_token=False, takes_jobs=False) as head:
        own = {**head.environment, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "a" * 64}
        said = _join(head.address, own)
        assert f"refused: --address {head.address}: must ask for a token, since others can reach it" in said
        assert "its answer was OK" in said
        assert "its answer was OK" in _check(head.client, own)
        assert _check(head.client, own, insecure=True) == "may be joined\n"


@pytest.mark.parametrize("call", [joining._CHECK_ALIVE, joining._PING])
def test_what_does_not_answer_is_not_taken_to_ask_for_a_token(
    call: tuple[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joining, "_ANSWER_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert joining._ask_without_token(f"127.0.0.1:{silent.getsockname()[1]}", *call) == "DEADLINE_EXCEEDED"


@pytest.mark.parametrize("address", ["127.0.0.1:1", "no-such-host:6379", "nonsense"])
def test_where_there_is_no_cluster_it_is_told_in_time(address: str) -> None:
    said = _join(address, dict(os.environ), patience_s=8)
    assert f"refused: --address {address}: must be a running Ray cluster" in said
    assert "Traceback" not in said
