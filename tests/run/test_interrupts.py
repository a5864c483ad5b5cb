"""Real signals, to this process."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest

from stt_tune.run.interrupts import heeding_interrupts


@pytest.fixture(autouse=True)
def _as_from_a_terminal() -> Iterator[None]:
    """Heed Ctrl-C, which what a shell starts in the background ignores; behind the test it is as it was."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class _StoppedInItsFinalizer:
    def __init__(self, number: signal.Signals) -> None:
        self.number = number

    def __del__(self) -> None:
        os.kill(os.getpid(), self.number)
        time.sleep(0)  # the handler has run by the end of it


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
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


def test_sigterm_interrupts_what_a_shell_has_started_in_the_background() -> None:
    def run() -> None:
        with heeding_interrupts():
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with pytest.raises(KeyboardInterrupt):
        run()
