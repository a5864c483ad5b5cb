from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from stt_tune.errors import SweepFailedError, SweepInterruptedError
from stt_tune.results.trials import Trial, TrialTable
from stt_tune.run.events import JsonLines, SweepEvents, listening, tell
from stt_tune.run.spent import Spent
from stt_tune.run.standing import Standing
from stt_tune.sweep.config import SweepConfig

_SWEEP = SweepConfig.from_dict(
    {"method": "random", "name": "s", "metric": {"name": "wer"}, "parameters": {"dropout": {"min": 0.0, "max": 0.1}}}
)


class _Driven:
    """A sweep of which events are told, as the recorder changes its table."""

    def __init__(self, *before: Trial) -> None:
        self.heard: list[Mapping[str, Any]] = []
        self.table = TrialTable(("wer",), before)
        self.events = SweepEvents("runs/s", _SWEEP, Standing(self.table, _SWEEP.metric, 4))

    def names(self) -> list[tuple[str, ...]]:
        keys = ("event", "trial", "epoch", "status")
        return [tuple(str(each[key]) for key in keys if key in each) for each in self.heard]

    def start(self, number: int) -> Trial:
        trial = Trial(f"id{number}", number, number == 0, {"dropout": 0.1})
        self.table.add(trial)
        self.events.update(self.table, trial)
        return trial

    def report(self, trial: Trial, epoch: int, wer: float) -> None:
        self.table.report(trial.trial_id, {"epoch": epoch, "wer": wer})
        self.events.update(self.table, trial)

    def end(self, trial: Trial, status: str) -> None:
        trial.status = status
        self.events.update(self.table, trial)


def test_a_trial_is_started_reports_and_ends_and_the_sweep_around_it() -> None:
    sweep = _Driven()
    with listening(sweep.heard.append), sweep.events:
        trial = sweep.start(0)
        sweep.report(trial, 1, 0.5)
        sweep.report(trial, 2, 0.25)
        sweep.end(trial, "completed")
        sweep.events.refresh(Spent(seconds=7, trials=1))
    assert sweep.names() == [
        ("sweep_started",),
        ("trial_started", "0"),
        ("report", "0", "1"),
        ("report", "0", "2"),
        ("trial_ended", "0", "2", "completed"),
        ("sweep_ended",),
    ]
    first, begun, report, _, end, last = ({**each, "time": None} for each in sweep.heard)
    common = {"time": None, "run": "runs/s"}
    counts = {"num_trials": 4, "done": 0}
    assert first == {**common, "event": "sweep_started", "sweep": "s", "metric": "wer", "goal": "minimize", **counts}
    which = {**common, "trial": 0, "trial_id": "id0"}
    assert begun == {
        **which, "event": "trial_started", "is_default": True, "configuration": {"dropout": 0.1}, "retries": 0,
    }  # fmt: skip
    assert report == {**which, "event": "report", "epoch": 1, "metrics": {"wer": 0.5}}
    assert end == {**which, "event": "trial_ended", "status": "completed", "epoch": 2, "value": 0.25, "error": None}
    assert (last["outcome"], last["error"], last["done"], last["seconds"]) == ("finished", None, 1, 7)
    assert last["best"] == {"trial": 0, "trial_id": "id0", "value": 0.25}


def test_a_trial_that_diverges_has_its_last_report_before_its_end() -> None:
    sweep = _Driven()
    with listening(sweep.heard.append), sweep.events:
        trial = sweep.start(1)
        trial.status = "diverged"  # the recorder knows it from the report
        sweep.report(trial, 1, math.nan)
        sweep.end(trial, "diverged")
        sweep.end(trial, "diverged")
    assert sweep.names()[2:-1] == [("report", "1", "1"), ("trial_ended", "1", "1", "diverged")]


def test_a_trial_that_is_begun_again_says_so_and_repeats_no_epoch() -> None:
    before = Trial("id0", 0, True, {"dropout": 0.1}, reports=[{"epoch": 1, "wer": 0.5}])
    sweep = _Driven(before)
    with listening(sweep.heard.append), sweep.events:
        sweep.events.update(sweep.table, before)  # it goes on, after an earlier start was interrupted
        sweep.report(before, 2, 0.4)
        before.retries = 1
        sweep.events.update(sweep.table, before)
        sweep.report(before, 3, 0.3)
    assert sweep.names()[1:-1] == [
        ("trial_started", "0"),
        ("report", "0", "2"),
        ("trial_started", "0"),
        ("report", "0", "3"),
        ("trial_ended", "0", "3", "interrupted"),
    ]


@pytest.mark.parametrize(
    ("error", "outcome"),
    [(SweepInterruptedError("Interrupted: so"), "interrupted"), (SweepFailedError("so"), "failed")],
)
def test_a_sweep_that_does_not_finish_says_why(error: Exception, outcome: str) -> None:
    sweep = _Driven()
    with listening(sweep.heard.append), pytest.raises(type(error)), sweep.events:
        raise error
    assert (sweep.heard[-1]["outcome"], sweep.heard[-1]["error"]) == (outcome, str(error))


def test_a_worker_that_cannot_start_gives_a_trial_that_starts_and_fails() -> None:
    sweep = _Driven()
    with listening(sweep.heard.append), sweep.events:
        trial = Trial("id3", 3, False, {}, status="failed", error="no such thing")
        sweep.table.add(trial)
        sweep.events.update(sweep.table, trial)
    assert sweep.names()[1:-1] == [("trial_started", "3"), ("trial_ended", "3", "0", "failed")]
    assert sweep.heard[2]["error"] == "no such thing"


def test_lines_are_json_at_once_whatever_numbers_they_hold(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    with path.open("w") as stream, listening(JsonLines(stream).write):
        tell("report", "runs/ä", metrics={"wer": math.nan, "loss": [math.inf, 1]}, at=Path("x"))
        (line,) = path.read_text().splitlines()
    found = json.loads(line, parse_constant=pytest.fail)
    assert found["metrics"] == {"wer": None, "loss": [None, 1]}
    assert (found["event"], found["run"], found["at"]) == ("report", "runs/ä", "x")


def test_a_reader_that_goes_away_does_not_end_the_sweep(capsys: pytest.CaptureFixture[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream, listening(JsonLines(stream).write):
        tell("report", "r")
        tell("report", "r")
    assert capsys.readouterr().err == "nobody reads the JSON lines any more: the sweep goes on without them\n"


def test_outside_of_a_listener_nothing_is_told() -> None:
    heard: list[Mapping[str, Any]] = []
    with listening(heard.append):
        pass
    tell("report", "r")
    assert not heard
