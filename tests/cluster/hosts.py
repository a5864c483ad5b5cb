"""Hosts on one machine: a network namespace each, with its own processes, home, Ray folder and sshd."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

_BRIDGE, _NETWORK = "stt-tune", "10.213.0"
_READY_S = 30
_SSHD = """\
ListenAddress {address}
HostKey {keys}/host
AuthorizedKeysFile {keys}/user.pub
StrictModes no
UsePAM no
PidFile none
"""
_HOME = """\
mount --make-rprivate /
mount -t overlay overlay -o lowerdir=/root,upperdir={home},workdir={work} /root
"""
_TRY = f"""\
{_HOME}
ip link add tried type bridge
ip link add tried-1 type veth peer name tried-2
"""
_START = f"""\
{_HOME}
mount --bind {{ray}} /tmp/ray
hostname {{name}}
exec /usr/sbin/sshd -D -e -f {{config}}
"""


@dataclass(frozen=True)
class Host:
    """A host that is up.

    Attributes:
        name: Of its namespace.
        address: Where its sshd answers.
        home: What it has written to its /root, which else is that of this machine.
        key: The private key that opens it, for root.
        process: Its first process; all others end with it.
    """

    name: str
    address: str
    home: Path
    key: Path
    process: subprocess.Popen[bytes]

    def run(self, command: str, **options: object) -> subprocess.CompletedProcess[str]:
        """Run a command there, as somebody who logs in does."""
        ssh = [
            "ssh", "-i", self.key, "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o",
            "LogLevel=ERROR", f"root@{self.address}", command,
        ]  # fmt: skip
        return subprocess.run(ssh, capture_output=True, text=True, **options)  # type: ignore[call-overload]


def find_obstacle(folder: Path) -> str:
    """Say why there can be no hosts on this machine, whose homes lie in `folder`; empty if there can."""
    missing = [
        name for name in ("ip", "unshare", "ssh", "ssh-keygen", "rsync", "ps", "pgrep") if not shutil.which(name)
    ]
    if not Path("/usr/sbin/sshd").exists():
        missing.append("sshd")
    if missing:
        return f"{', '.join(missing)} must be installed"
    home, work = folder / "tried" / "home", folder / "tried" / "work"
    for each in (home, work):
        each.mkdir(parents=True)
    script = _TRY.format(home=home, work=work)
    tried = subprocess.run(
        ["unshare", "--net", "--pid", "--mount", "--uts", "--fork", "bash", "-ec", script],
        capture_output=True,
        text=True,
    )
    return f"namespaces are not allowed here ({tried.stderr.strip()})" if tried.returncode else ""


@contextlib.contextmanager
def running_hosts(folder: Path, count: int) -> Iterator[list[Host]]:
    """Have `count` hosts inside the block, which see each other and this machine's files."""
    obstacle = find_obstacle(folder)
    if obstacle:
        pytest.skip(f"hosts: {obstacle}")
    keys = folder / "keys"
    keys.mkdir()
    for name in ("host", "user"):
        _do("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(keys / name))
    Path("/run/sshd").mkdir(exist_ok=True)
    Path("/tmp/ray").mkdir(exist_ok=True)
    with contextlib.ExitStack() as stack:
        _do("ip", "link", "add", _BRIDGE, "type", "bridge")
        stack.callback(_do, "ip", "link", "delete", _BRIDGE)
        _do("ip", "address", "add", f"{_NETWORK}.254/24", "dev", _BRIDGE)
        _do("ip", "link", "set", _BRIDGE, "up")
        hosts = [stack.enter_context(_running_host(folder, keys, i)) for i in range(1, count + 1)]
        for host in hosts:
            _wait_for(host)
        yield hosts


@contextlib.contextmanager
def _running_host(folder: Path, keys: Path, number: int) -> Iterator[Host]:
    name, address = f"{_BRIDGE}-{number}", f"{_NETWORK}.{number}"
    own = folder / name
    home, work, ray, config = own / "home", own / "work", own / "ray", own / "sshd_config"
    for each in (home, work, ray):
        each.mkdir(parents=True)
    config.write_text(_SSHD.format(address=address, keys=keys))
    _do("ip", "netns", "add", name)
    try:
        _do("ip", "link", "add", f"stt-{number}", "type", "veth", "peer", "name", "eth0", "netns", name)
        _do("ip", "link", "set", f"stt-{number}", "master", _BRIDGE, "up")
        inside = ("ip", "netns", "exec", name)
        _do(*inside, "ip", "address", "add", f"{address}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            _do(*inside, "ip", "link", "set", device, "up")
        # by the route to others Ray finds out what its own address is
        _do(*inside, "ip", "route", "add", "default", "via", f"{_NETWORK}.254")
        script = _START.format(home=home, work=work, ray=ray, name=name, config=config)
        alone = ("unshare", "--pid", "--mount", "--uts", "--fork", "--kill-child", "--mount-proc")
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "WANDB_"))}
        with (
            (own / "sshd.log").open("w") as log,
            subprocess.Popen(
                [*inside, *alone, "bash", "-ec", script], stdout=log, stderr=log, env={**environment, "HOME": "/root"}
            ) as process,
        ):
            try:
                yield Host(name, address, home, keys / "user", process)
            finally:
                process.kill()
    finally:
        # its namespace lives on until the last process there has ended
        _do("ip", "link", "delete", f"stt-{number}")
        _do("ip", "netns", "delete", name)


def _wait_for(host: Host) -> None:
    end = time.monotonic() + _READY_S
    while (tried := host.run("true")).returncode:
        if time.monotonic() > end:
            log = (host.home.parent / "sshd.log").read_text()
            pytest.fail(f"{host.name}: sshd did not answer: {tried.stderr} {log}")
        time.sleep(0.2)


def _do(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
