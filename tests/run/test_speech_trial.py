from __future__ import annotations

import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from stt_tune.run.cluster import find_resources
from stt_tune.run.mailbox import tell_user
from stt_tune.run.speech_trial import run_on_workers


def _write_on_and_on(path: Path, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        path.write_text(f"{time.monotonic()}")
        time.sleep(0.05)


@pytest.mark.usefixtures("ray_session")
@pytest.mark.slow
def test_what_is_not_done_when_a_user_interrupts_is_ended(tmp_path: Path) -> None:
    other = tmp_path / "other"

    def stop(_call: int, _result: object, _count: int) -> None:
        while not other.exists():
            time.sleep(0.1)
        raise KeyboardInterrupt

    calls = [(tmp_path / "first", 0.1), (other, 60.0)]
    with pytest.raises(KeyboardInterrupt):
        run_on_workers(_write_on_and_on, calls, find_resources(max_concurrent=2), "failed", stop)
    time.sleep(2)
    written = other.read_text()
    time.sleep(1)
    assert other.read_text() == written


@pytest.mark.usefixtures("ray_session")
def test_what_workers_tell_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    calls = [("told by the first",), ("told by the last",)]
    run_on_workers(tell_user, calls, find_resources(max_concurrent=1), "failed")
    told = capsys.readouterr().err
    assert all(told.count(text) == 1 for (text,) in calls)


def _take_a_while(_call: int) -> tuple[float, float]:
    begun = time.monotonic()
    time.sleep(3)  # longer than another worker takes to start
    return begun, time.monotonic()


@pytest.mark.usefixtures("ray_session")
def test_no_more_calls_run_at_a_time_than_trials_may() -> None:
    one = replace(find_resources(max_concurrent=None), cpus=0.25, max_concurrent=1)
    times = run_on_workers(_take_a_while, [(each,) for each in range(3)], one, "failed")
    assert all(end <= begun for (_begun, end), (begun, _end) in pairwise(times))
