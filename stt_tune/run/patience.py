"""Write to a disk that may be full or gone for a while."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path

from stt_tune.errors import StorageError
from stt_tune.progress import say
from stt_tune.storage import is_url

PATIENCE_S = 300.0
"""How long a disk may be full or gone before what needs it gives up, in seconds."""

_PAUSE_S = 1.0


def insist(write: Callable[[], object], folder: Path | None = None) -> None:
    """Write, and try again once a second for `PATIENCE_S` where that fails; tell so, once.

    Args:
        write: Writes.
        folder: What has to be there: where storage is gone, what makes the folder anew would write below the
            place where it is mounted, and nobody would see that again.

    Raises:
        OSError: It has failed for so long.
    """
    end = time.monotonic() + PATIENCE_S
    is_told = False
    while True:
        try:
            if folder:
                folder.stat()
            write()
        except OSError as error:
            if time.monotonic() >= end:
                raise
            if not is_told:
                reason = f"{folder}: {error.strerror}" if folder else str(error)
                _tell(f"{reason}. What needs it there waits for up to {PATIENCE_S / 60:g} minutes.")
                is_told = True
            time.sleep(_PAUSE_S)
        else:
            if is_told:
                _tell(f"{folder or 'storage'} is there again, and nothing is lost.")
            return


def keep_beside(write: Callable[[], object], place: str) -> None:
    """Write what is kept beside a trial's result: storage that fails for so long costs that, and not the trial.

    Args:
        write: Writes.
        place: Where: the path or URL of a folder in the run's.
    """
    try:
        insist(write, None if is_url(place) else Path(place).parent)
    except OSError as error:
        told = error if isinstance(error, StorageError) else f"{place}: cannot be written ({error})."
        _tell(f"{told} The trial goes on without.")


def _tell(text: str) -> None:
    from stt_tune.run.mailbox import tell_user  # each node's first word waits for what is imported here

    tell_user(f"{socket.gethostname()}: {text}")


class PatientWriter:
    """Writes a file whose content is in memory as well, so that it is enough if a later attempt succeeds."""

    def __init__(self, path: Path, write: Callable[[], None], folder: Path) -> None:
        """Write `path` by calling `write`, while `folder` is there; see `insist`."""
        self._path, self._folder = path, folder
        self._write = write
        self._failing_since: float | None = None

    @property
    def is_reachable(self) -> bool:
        """Whether the folder is there."""
        try:
            self._folder.stat()
        except OSError:
            return False
        return True

    def write(self) -> bool:
        """Write the file, or say once that it cannot be written now; give whether it is written.

        Raises:
            OSError: It could not be written for `PATIENCE_S`.
        """
        try:
            self._folder.stat()
            self._write()
        except OSError as error:
            now = time.monotonic()
            if self._failing_since is None:
                self._failing_since = now
                say(
                    f"{self._path}: cannot be written now ({error.strerror}). The sweep goes on, keeps all in memory "
                    f"and tries again for {PATIENCE_S / 60:g} minutes; trials wait as long with what they write there."
                )
            elif now - self._failing_since > PATIENCE_S:
                raise
            return False
        if self._failing_since is not None:
            self._failing_since = None
            say(f"{self._path}: can be written again, and nothing is lost")
        return True

    def finish(self) -> None:
        """Write the file, however often that has to be tried.

        Raises:
            OSError: It could not be written for `PATIENCE_S`.
        """
        while not self.write():
            time.sleep(_PAUSE_S)
