"""Ctrl-C, and SIGTERM and SIGHUP for the same: none is lost, whatever Ray makes of signals."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

_SOON_S = 0.1


@contextlib.contextmanager
def heeding_interrupts() -> Iterator[None]:
    """Let no Ctrl-C be lost inside the block, and take SIGTERM and SIGHUP for one.

    By SIGTERM schedulers and clouds end a process, and Ray would just exit; SIGHUP comes when a terminal closes, or the
    connection that it is of, unless `nohup` has it ignored. What a signal's handler raises in a finalizer, Python
    throws away, so it comes again: Ray Tune leaves some, and a signal waits as long as garbage is looked for, which
    takes a third of a second.
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
    before = {signal.SIGTERM: signal.signal(signal.SIGTERM, _interrupt)}
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        before[signal.SIGHUP] = signal.signal(signal.SIGHUP, _hang_up)
    sys.unraisablehook = bring_back
    try:
        yield
    finally:
        if again:
            again.cancel()
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        if again and again.is_alive():  # it was not too late
            raise KeyboardInterrupt


def _interrupt(_number: int, frame: FrameType | None) -> None:
    """Do what Ctrl-C does; shells have it ignored by what they start in the background."""
    handler = signal.getsignal(signal.SIGINT)
    if not callable(handler):
        raise KeyboardInterrupt
    handler(signal.SIGINT, frame)


def _hang_up(number: int, frame: FrameType | None) -> None:
    """Do what Ctrl-C does, and say nothing more to a terminal that is gone: each word would be an error."""
    with Path(os.devnull).open("w") as nowhere:
        for stream in (sys.__stdout__, sys.__stderr__):
            if stream and stat.S_ISCHR(os.fstat(stream.fileno()).st_mode):
                os.dup2(nowhere.fileno(), stream.fileno())
    _interrupt(number, frame)


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
