"""Ctrl-C, and SIGTERM for the same: none is lost, whatever Ray makes of signals."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

_SOON_S = 0.1


@contextlib.contextmanager
def heeding_interrupts() -> Iterator[None]:
    """Let no Ctrl-C be lost inside the block, and take SIGTERM for one.

    By SIGTERM schedulers and clouds end a process, and Ray would just exit. What a signal's handler raises in a
    finalizer, Python throws away, so it comes again: Ray Tune leaves some, and a signal waits as long as garbage is
    looked for, which takes a third of a second.
    """
    if not _is_main_thread():
        yield  # only the main thread may say what signals do
        return
    hook = sys.unraisablehook
    again: threading.Timer | None = None

    def bring_back(thrown_away: sys.UnraisableHookArgs) -> None:
        nonlocal again
        if thrown_away.exc_type is KeyboardInterrupt:
            again = threading.Timer(_SOON_S, os.kill, (os.getpid(), signal.SIGTERM))
            again.start()
        else:
            hook(thrown_away)

    # Ray blocks it in all that a node starts, and so in its jobs
    blocked = signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    before = signal.signal(signal.SIGTERM, _interrupt)
    sys.unraisablehook = bring_back
    try:
        yield
    finally:
        if again:
            again.cancel()
        sys.unraisablehook = hook
        signal.signal(signal.SIGTERM, before)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        if again and again.is_alive():  # it was not too late
            raise KeyboardInterrupt


def _interrupt(_number: int, frame: FrameType | None) -> None:
    """Do what Ctrl-C does; shells have it ignored by what they start in the background."""
    handler = signal.getsignal(signal.SIGINT)
    if not callable(handler):
        raise KeyboardInterrupt
    handler(signal.SIGINT, frame)


@contextlib.contextmanager
def lent_to_tune() -> Iterator[threading.Event]:
    """Let Ray Tune say inside the block what Ctrl-C does; the event is set behind it if one has come.

    Tune ends its trials then, and returns as after the last one. It keeps what it has said until one comes, and would
    swallow the next one.
    """
    came = threading.Event()
    if not _is_main_thread():
        yield came
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGUSR1)}
    listens = not int(os.environ.get("TUNE_DISABLE_SIGINT_HANDLER", "0"))
    try:
        yield came
    finally:
        if listens and signal.getsignal(signal.SIGINT) == before[signal.SIGINT]:
            came.set()
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
