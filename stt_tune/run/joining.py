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

from stt_tune.errors import SettingsError
from stt_tune.progress import say

CLIENT = "ray://"
_PATIENCE_S = 30
_TOKEN = "RAY_AUTH_MODE=token and RAY_AUTH_TOKEN (or ~/.ray/auth_token)"
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
    if not (is_insecure_allowed or found["has_token"] or _is_loopback(found["server"])):
        raise SettingsError(
            f"--address {address}: must ask for a token, since others can reach it: whoever does can run anything "
            f"there. Start the cluster with token authentication and set {_TOKEN} here, or give "
            "--insecure-cluster."
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
        has_token = os.environ.get("RAY_AUTH_MODE", "").lower() == "token"
        server = address.removeprefix(CLIENT) if is_client(address) else ray.get_runtime_context().gcs_address
        found = {"server": server, "has_token": has_token}
    except (ConnectionError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
        # what the first line announces, the last one says
        lines = str(error).strip().splitlines() or [type(error).__name__]
        found = {"problem": " ".join(dict.fromkeys((lines[0], lines[-1])))}
    print(json.dumps(found))  # noqa: T201


if __name__ == "__main__":
    _join()
