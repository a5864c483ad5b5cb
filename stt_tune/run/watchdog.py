"""End a training that has not been heard of for too long."""

from __future__ import annotations

import os
import signal
import threading
from types import TracebackType


class Watchdog:
    """Kills this process inside the block unless it is told in time that the training goes on.

    A training that waits for a device, a lock or a disk that will never answer ends in no other way.
    """

    def __init__(self, patience_s: float | None) -> None:
        """Wait so many seconds from one sign of life to the next; None: for ever."""
        self._patience_s = patience_s
        self._timer: threading.Timer | None = None

    def __enter__(self) -> Watchdog:
        """Begin to wait."""
        self.calm()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait no more."""
        if self._timer:
            self._timer.cancel()

    def calm(self) -> None:
        """Begin to wait anew."""
        if self._timer:
            self._timer.cancel()
        if self._patience_s is not None:
            self._timer = threading.Timer(self._patience_s, os.kill, (os.getpid(), signal.SIGKILL))
            self._timer.daemon = True
            self._timer.start()
