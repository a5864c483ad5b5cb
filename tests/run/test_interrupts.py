"""Real signals, to this process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stt_tune.run.interrupts import heeding_interrupts


@pytest.fixture(autouse=True)
def _as_from_a_terminal() -> Iterator[None]:
    """Heed Ctrl-C, which what a shell starts in the background ignores, and SIGHUP, which `nohup` has ignored."""
    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, signal.default_int_handler),
        signal.SIGHUP: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    }
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class _StoppedInItsFinalizer:
    def __init__(self, number: signal.Signals) -> None:
        self.number = number

    def __del__(self) -> None:
        os.kill(os.getpid(), self.number)
        time.sleep(0)  # the handler has run by the end of it


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_whose_interrupt_is_thrown_away_in_a_finalizer_comes_again(number: signal.Signals) -> None:
    def run() -> None:
        with heeding_interrupts():
            _StoppedInItsFinalizer(number)
            time.sleep(10)

    with pytest.raises(KeyboardInterrupt):
        run()


def test_an_interrupt_that_comes_again_too_late_ends_the_block() -> None:
    def run() -> None:
        with heeding_interrupts():
            _StoppedInItsFinalizer(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run()
    time.sleep(0.3)  # nothing comes behind it


_WAITS = """
import sys, time
from stt_tune.run.interrupts import heeding_interrupts
try:
    with heeding_interrupts():
        print("ready", flush=True)
        time.sleep(2)
except KeyboardInterrupt:
    print("to nobody", file=sys.stderr, flush=True)
    sys.exit(130)
"""


@pytest.mark.parametrize(("wrapper", "code"), [([], 130), (["nohup"], 0)])
def test_a_terminal_that_closes_interrupts_what_is_not_to_outlive_it(
    wrapper: list[str], code: int, tmp_path: Path
) -> None:
    ours, theirs = os.openpty()
    started = subprocess.Popen(
        ["setsid", "--ctty", *wrapper, sys.executable, "-c", _WAITS],
        cwd=tmp_path,  # nohup writes there what is said
        stdin=theirs,
        stdout=theirs if not wrapper else subprocess.PIPE,
        stderr=theirs,
    )
    os.close(theirs)
    said = ours if started.stdout is None else started.stdout.fileno()
    assert b"ready" in os.read(said, 100)
    os.close(ours)
    assert started.wait(timeout=60) == code


def test_sigterm_interrupts_what_a_shell_has_started_in_the_background() -> None:
    def run() -> None:
        with heeding_interrupts():
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with pytest.raises(KeyboardInterrupt):
        run()
