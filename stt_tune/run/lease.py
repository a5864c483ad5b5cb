"""Only one process at a time drives the run at a URL."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from stt_tune.errors import SettingsError, SharedFileError
from stt_tune.progress import say
from stt_tune.results.shared_file import open_shared

LEASE = "driver.json"
_LEFT_S = 30.0  # a driver that has not been heard of for so long is dead; a living one is heard of three times
_BEAT_S, _LOOK_EVERY_S = 8.0, 1.0
_PATIENCE_S = 20.0


class _HeldError(Exception):
    """Another driver holds it; the argument is what it wrote."""


class Lease:
    """The right to drive a run, kept in an object beside it that is written by compare and swap.

    A thread of its own says that this driver lives: sending one large file may take minutes.

    The object names the copy of the run that was sent last. A driver that works on another one is named beside it
    until it sends something: one that is refused, or has nothing to change, must not take the run from who could
    not send all of its work yet.

    Attributes:
        is_lost: Whether another driver has taken this one for dead.
        copy: What stands for the copy of the run that this driver works on; known once it is the driver.
    """

    def __init__(self, url: str, copy: str) -> None:
        """Ask for nothing yet.

        Args:
            url: Of the run.
            copy: What stands for the copy of the run that lies here; empty if none does.
        """
        self.copy = self._known = copy
        self._sent = ""
        self._url = url
        self._file = open_shared(f"{url}/{LEASE}")
        self._own = {"driver": uuid.uuid4().hex, **_find_host(), "pid": os.getpid()}
        self._beats = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep_renewing, name="lease", daemon=True)
        self.is_lost = False

    def take(self) -> bool:
        """Become the driver; that of a driver that died is taken over.

        Returns:
            Whether the last driver worked on the copy that lies here. If not, `copy` stands for another one, which is
            to be made: a driver that is killed meanwhile must not leave the old one as what was worked on.

        Raises:
            SettingsError: Another process drives the run.
            SharedFileError: The storage cannot be written.
        """
        heard, since, is_told = self._file.read(), time.monotonic(), False
        while True:
            given_up = heard if time.monotonic() - since > _LEFT_S else None
            try:
                self._try_to_take(given_up)
                self._thread.start()
                return self.copy == self._known
            except _HeldError as held:
                if held.args[0] != heard:  # so it lives
                    raise SettingsError(
                        f"{self._url}: must be run by one process at a time, and another one runs it "
                        f"({_describe(held.args[0])}). Wait for it, or give it more trials at a time."
                    ) from held
                if not is_told:
                    say(f"{self._url}: waiting up to {_LEFT_S:g} s to see whether {_describe(heard)} still drives it")
                    is_told = True
            time.sleep(_LOOK_EVERY_S)

    def renew(self) -> bool:
        """Say that this driver lives; give whether it is certain that no other one has driven the run meanwhile."""
        self._beats += 1
        return self._replace(lambda: {**self._own, **self._copies(), "beat": self._beats})

    def claim(self) -> bool:
        """Say that the run is this driver's copy from now on, before it is sent; give whether that is certain."""
        before, self._sent = self._sent, self.copy
        if before != self.copy and not self.renew():
            self._sent = before
        return self._sent == self.copy

    def release(self) -> None:
        """Let others drive the run; where the storage does not answer, they find out that this one is silent."""
        self._ended.set()
        self._thread.join()
        if not self.is_lost:
            self._replace(self._copies)

    def _keep_renewing(self) -> None:
        while not self._ended.wait(_BEAT_S) and not self.is_lost:
            self.renew()
        if self.is_lost:
            say(f"{self._url}: another process drives it now, so nothing is sent there any more")

    def _try_to_take(self, given_up: str | None) -> None:
        def change(before: str | None) -> str:
            last = _parse(before)
            if last.get("driver") and before != given_up and not _is_dead(last):
                raise _HeldError(before)
            is_known = self._known and self._known in (last.get("copy"), last.get("begun"))
            self.copy = self._known if is_known else uuid.uuid4().hex
            self._sent = last.get("copy") or self.copy
            return json.dumps({**self._own, **self._copies()})

        self._file.update(change, _PATIENCE_S)

    def _copies(self) -> dict[str, str]:
        """Which copy was sent last, and which one this driver has begun to work on, if that is another one."""
        return {"copy": self._sent} | ({"begun": self.copy} if self.copy != self._sent else {})

    def _replace(self, describe: Callable[[], Mapping[str, Any]]) -> bool:
        """Write what is to be said where this is still the driver; give whether it is certain that it stands there."""

        def change(before: str | None) -> str:
            self.is_lost = _parse(before).get("driver") != self._own["driver"]
            return before or "" if self.is_lost else json.dumps(describe())

        with contextlib.suppress(SharedFileError):  # who sends what changes tells of it
            self._file.update(change, _PATIENCE_S)
            return not self.is_lost
        return False


def is_held(url: str) -> bool:
    """Whether a process drives the run at a URL.

    Where one has said that it does, it takes some seconds until it says so again, and half a minute where it died.

    Args:
        url: Of the run.

    Raises:
        SharedFileError: The storage cannot be read.
    """
    file, since = open_shared(f"{url}/{LEASE}"), time.monotonic()
    heard = file.read()
    if not _parse(heard).get("driver") or _is_dead(_parse(heard)):
        return False
    say(f"{url}: waiting up to {_LEFT_S:g} s to see whether {_describe(heard)} still drives it")
    while time.monotonic() - since <= _LEFT_S:
        time.sleep(_LOOK_EVERY_S)
        if (now := file.read()) != heard:
            return bool(_parse(now).get("driver"))
    return False


def _parse(text: str | None) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _describe(text: str | None) -> str:
    found = _parse(text)
    return f"process {found.get('pid')} on {found.get('host')}"


def _find_host() -> dict[str, str]:
    """Where a number stands for one process alone: containers may share their host's name, and count on their own."""
    namespace = Path("/proc/self/ns/pid")  # on Linux
    return {"host": socket.gethostname(), "pids": str(namespace.readlink()) if namespace.is_symlink() else ""}


def _is_dead(holder: Mapping[str, Any]) -> bool:
    """Whether it was a process of this machine that is no more."""
    if not _find_host().items() <= holder.items():
        return False
    try:
        os.kill(int(holder["pid"]), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, KeyError, TypeError, ValueError):
        return False
    return False
