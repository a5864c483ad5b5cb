"""What it costs to show a sweep while it runs: 200 trials of 10 reports, 16 at a time, with 8 parameters.

Tells the display of every change, as a sweep of `--seconds` would, at the pace of Ray Tune's loop, and prints which
share of that time this takes, as processor time of the driver: with a table in a terminal of 80 x 24, with lines, and
with JSON lines beside them.

python -m tests.benchmarks.display --seconds 100
"""

from __future__ import annotations

import argparse
import contextlib
import io
import random
import time
from collections.abc import Iterator

from rich.console import Console

from stt_tune.results.trials import Trial, TrialTable
from stt_tune.run import display as displays
from stt_tune.run.display import Place, SweepDisplay, Terminal
from stt_tune.run.events import JsonLines, SweepEvents, listening
from stt_tune.run.spent import Spent
from stt_tune.run.standing import Standing
from stt_tune.sweep.config import SweepConfig

_TRIALS, _EPOCHS, _AT_A_TIME = 200, 10, 16
_STEP_S = 0.1
_SWEEP = SweepConfig.from_dict(
    {
        "method": "random",
        "name": "shown",
        "metric": {"name": "wer"},
        "parameters": {f"some_parameter_{i}": {"min": 0.0, "max": 1.0} for i in range(8)},
    }
)


def _change(table: TrialTable) -> Iterator[Trial]:
    """Let a sweep happen in `table`: a trial begins, reports, ends, and the next one takes its place."""
    draw = random.Random(0).random
    waiting, running = iter(range(_TRIALS)), list[Trial]()
    while True:
        while len(running) < _AT_A_TIME and (number := next(waiting, None)) is not None:
            configuration = {**{name: draw() for name in _SWEEP.parameters}, "epochs": _EPOCHS}
            running.append(Trial(f"id{number}", number, number == 0, configuration))
            table.add(running[-1])
            yield running[-1]
        if not running:
            return
        for trial in list(running):
            table.report(trial.trial_id, {"epoch": trial.last_epoch + 1, "wer": draw()})
            yield trial
            if trial.last_epoch == _EPOCHS:
                trial.status = "completed"
                running.remove(trial)
                yield trial


def _measure(seconds: float, place: Place | None, *, as_json: bool) -> float:
    """Show a sweep; give the processor time that this takes, in seconds."""
    table, begun, took_s = TrialTable(("wer",)), time.perf_counter(), 0.0
    changes = sum(1 for _ in _change(TrialTable(("wer",))))
    events = SweepEvents("runs/shown", _SWEEP, Standing(table, _SWEEP.metric, _TRIALS))
    displays.find_place = lambda: place
    with contextlib.ExitStack() as stack:
        if as_json:
            stack.enter_context(listening(JsonLines(io.StringIO()).write))
        stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
        display = stack.enter_context(SweepDisplay(_SWEEP.metric, _TRIALS))
        for done, trial in enumerate(_change(table), start=1):
            at = time.thread_time()
            display.update(table, trial)
            events.update(table, trial)
            took_s += time.thread_time() - at
            while time.perf_counter() - begun < seconds * done / changes:
                spent = Spent(time.perf_counter() - begun, 0, len(table.ended()))
                at = time.thread_time()
                display.refresh(spent)
                took_s += time.thread_time() - at
                time.sleep(min(_STEP_S, max(seconds * done / changes - (time.perf_counter() - begun), 0)))
    return took_s


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=100.0, help="how long the sweep takes")
    seconds = parser.parse_args().seconds
    print(f"{_TRIALS} trials of {_EPOCHS} reports in {seconds:g} s; of this, showing them takes")
    terminal = Terminal(Console(file=io.StringIO(), force_terminal=True, width=80, height=24))
    for name, place, as_json in (
        ("a table in a terminal", terminal, False),
        ("lines", None, False),
        ("lines and JSON lines", None, True),
    ):
        took_s = _measure(seconds, place, as_json=as_json)
        print(f"{name}: {took_s / seconds:.2%} ({took_s:.2f} s)", flush=True)


if __name__ == "__main__":
    main()
