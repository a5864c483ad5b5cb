"""Join a Ray cluster only if it answers in time and is protected.

Ray itself waits for minutes where nobody listens, or where the token is not the cluster's; so
a process of its own (`python -m stt_tune.run.joining ADDRESS`) tries first, and can be given up.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from stt_tune.errors import SettingsError
from stt_tune.progress import say

CLIENT = "ray://"
_PATIENCE_S = 30
_TOKEN = "RAY_AUTH_MODE=token and RAY_AUTH_TOKEN (or ~/.ray/auth_token)"
# What servers are asked without a token, and with what message: those that let anybody in answer at once.
_CHECK_ALIVE = "/ray.rpc.NodeInfoGcsService/CheckAlive", b""
_PING = "/ray.rpc.RayletDriver/ClusterInfo", b"\x08\x06"
_ANSWER_S = 5
_REFUSED = "UNAUTHENTICATED"
_ADVICE = f"Check the address (local: no cluster), and that {_TOKEN} hold the cluster's token."


def is_client(address: str) -> bool:
    """Whether it is the address of a cluster's client server, which serves those outside."""
    return address.startswith(CLIENT)


def check_cluster(address: str, *, is_insecure_allowed: bool) -> None:
    """Make sure that a cluster can be joined.

    Args:
        address: `auto`, `HOST:PORT`, or `ray://HOST:PORT` of its client server.
        is_insecure_allowed: Whether it may be one that others can reach, and that asks for no token.

    Raises:
        SettingsError: There is none, it does not let us in, or it is not protected.
    """
    say(f"joining the Ray cluster at {address}")
    must = f"--address {address}: must be a running Ray cluster"
    # now and then Ray's client server never answers one that comes, and answers the next at once
    asked = _ask(address) or (_ask(address) if is_client(address) else None)
    if asked is None:
        raise SettingsError(f"{must}, and none answered within {_PATIENCE_S} seconds. {_ADVICE}")
    try:
        found = json.loads(asked.stdout.splitlines()[-1])
    except (ValueError, IndexError) as error:
        reason = asked.stderr.strip().rpartition("\n")[2] or f"exit code {asked.returncode}"
        raise SettingsError(f"{must}, and is not ({reason}).") from error
    if "problem" in found:
        raise SettingsError(f"{must}, and is not ({found['problem'].rstrip('.')}). {_ADVICE}")
    # whatever else it answers, or nothing: it has not been seen to refuse those who have no token
    if not (is_insecure_allowed or found["answer"] == _REFUSED or _is_loopback(found["server"])):
        raise SettingsError(
            f"--address {address}: must ask for a token, since others can reach it (without one, its answer was "
            f"{found['answer']}): whoever does can run anything there. Start the cluster with token authentication and "
            f"set {_TOKEN} here, or give --insecure-cluster."
        )


def _ask(address: str) -> subprocess.CompletedProcess[str] | None:
    """Let another process join; None where none is answered in time."""
    try:
        return subprocess.run(
            [sys.executable, "-m", __name__, address], capture_output=True, text=True, timeout=_PATIENCE_S
        )
    except subprocess.TimeoutExpired:
        return None


def _is_loopback(address: str) -> bool:
    """Whether nobody but this machine reaches it; Ray uses such an address only where there is no other.

    >>> [_is_loopback(each) for each in ("127.0.0.1:6379", "[::1]:6379", "localhost:6379", "10.0.0.1:6379")]
    [True, True, True, False]
    """
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _join() -> None:
    """Join the cluster in this process, and print what it is like."""
    import ray

    try:
        address = sys.argv[1]
        ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL)
        server = address.removeprefix(CLIENT) if is_client(address) else ray.get_runtime_context().gcs_address
        call = _PING if is_client(address) else _CHECK_ALIVE
        found = {"server": server, "answer": _ask_without_token(server, *call)}
    except (ConnectionError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
        # what the first line announces, the last one says
        lines = str(error).strip().splitlines() or [type(error).__name__]
        found = {"problem": " ".join(dict.fromkeys((lines[0], lines[-1])))}
    print(json.dumps(found))  # noqa: T201


def _ask_without_token(server: str, call: str, message: bytes) -> str:
    """Call a server of the cluster as one who has no token, and give gRPC's name of what comes of it.

    What this machine is set to says nothing of that: a cluster without authentication takes those who send a token.
    """
    import grpc

    has_tls = os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true")  # as Ray reads it
    options = [("grpc.enable_http_proxy", 0)]  # as Ray's own
    channel = grpc.secure_channel(server, _read_tls(), options) if has_tls else grpc.insecure_channel(server, options)
    with channel:
        try:
            channel.unary_unary(call)(message, timeout=_ANSWER_S)
        except grpc.RpcError as error:
            return str(error.code().name)
    return "OK"


def _read_tls() -> Any:
    """What a cluster with TLS wants to see of this machine, besides a token."""
    import grpc

    key, chain, root = (
        Path(os.environ[f"RAY_TLS_{name}"]).read_bytes() for name in ("SERVER_KEY", "SERVER_CERT", "CA_CERT")
    )
    return grpc.ssl_channel_credentials(root, key, chain)


if __name__ == "__main__":
    _join()
