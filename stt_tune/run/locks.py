"""Locks of a run folder, by which processes leave each other's runs alone."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from stt_tune.errors import SettingsError

# how long a process that only looks whether a file is locked may be in the way of one that locks it
_LOOK_S = 0.2


@contextlib.contextmanager
def locking(path: Path) -> Iterator[bool]:
    """Keep a file locked inside the block; may be nested. Gives False where another process has it.

    Raises:
        OSError: The file cannot be written.
    """
    lock = FileLock(path, timeout=_LOOK_S, poll_interval=_LOOK_S / 10, is_singleton=True)
    try:
        lock.acquire()
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def is_locked(path: Path) -> bool:
    """Whether another process keeps a file locked; looking changes nothing there.

    Raises:
        SettingsError: The lock cannot be read.
    """
    try:
        with path.open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)  # until it is closed
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    except OSError as error:
        raise SettingsError(
            f"{path}: must be readable, to see whether the run goes on ({error.strerror}). Ask who runs it."
        ) from error
    return False
