"""What ends a sweep before its last trial."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stt_tune.errors import SettingsError
from stt_tune.run.budget import Budget, read_duration
from stt_tune.run.folder import RunFolder
from stt_tune.run.meter import Meter
from stt_tune.run.reporting import report
from stt_tune.run.spent import Spent
from stt_tune.sweep.config import SweepConfig
from tests.run import synthetic


@pytest.mark.usefixtures("ray_session")
def test_a_spent_time_budget_stops_what_runs_but_the_default_and_says_so(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    options: dict[str, Any] = {"budget": Budget(time_s=2.5), "scheduler": "none"}
    table = synthetic.run(tmp_path, synthetic.slow, trials=30, **options)
    assert "the time budget of 2.5 s is spent" in capfd.readouterr().err
    assert table.trials[0].status == "completed"
    assert 1 <= len(table.trials) < 30
    assert not table.counts()["stopped_early"]
    assert table.counts()["interrupted"] <= 1
    again = synthetic.run(tmp_path, synthetic.slow, trials=30, table=table, **options)
    assert len(again.trials) == len(table.trials)
    assert "the time budget of 2.5 s is spent: no further trials are started" in capfd.readouterr().err
    more = synthetic.run(
        tmp_path, synthetic.slow, trials=len(table.trials) + 1, table=table, **{**options, "budget": Budget()}
    )
    assert more.counts() == {"completed": len(more.trials)}


def _measured_at_its_end(config: dict[str, Any]) -> None:
    """Reports its loss after every epoch, and the metric once."""
    for epoch in range(1, config["epochs"] + 1):
        time.sleep(0.5)
        report(epoch=epoch, loss=1.0 / epoch)
    report(wer=config["learning_rate"])


@pytest.mark.usefixtures("ray_session")
def test_a_trial_that_a_budget_stops_before_it_was_measured_is_interrupted_and_can_go_on(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    options: dict[str, Any] = {"scheduler": "none", "default": None}
    table = synthetic.run(tmp_path, _measured_at_its_end, trials=2, budget=Budget(time_s=0.01), **options)
    (trial,) = table.trials
    assert (trial.status, trial.error, trial.values("loss")) == ("interrupted", None, [1.0])
    assert "the time budget of 0.01 s is spent: 1 trials were not started, 1 were stopped" in capfd.readouterr().err
    assert synthetic.run(tmp_path, _measured_at_its_end, trials=2, table=table, **options).counts() == {"completed": 2}


@pytest.mark.usefixtures("ray_session")
def test_the_default_gets_its_full_result_whatever_is_spent(tmp_path: Path) -> None:
    options: dict[str, Any] = {"budget": Budget(time_s=0.01), "scheduler": "none"}
    table = synthetic.run(tmp_path, synthetic.slow, trials=30, **options)
    assert (table.trials[0].status, len(table.trials[0].reports)) == ("completed", 3)
    assert len(table.trials) <= 2


@pytest.mark.usefixtures("ray_session")
def test_a_target_of_the_budget_comes_before_that_of_the_sweep(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    table = synthetic.run(tmp_path, synthetic.falling, trials=12, budget=Budget(target=0.2), scheduler="none")
    *before, last = table.trials
    assert len(table.trials) < 12
    assert min(last.values("wer")) <= 0.2
    assert all(min(trial.values("wer")) > 0.2 for trial in before)
    assert f", and the target is 0.2: {12 - len(table.trials)} trials were not started" in capfd.readouterr().err


@pytest.mark.usefixtures("ray_session")
def test_a_search_ends_where_its_model_expects_too_little(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    table = synthetic.run(
        tmp_path,
        synthetic.falling,
        trials=25,
        change={
            "method": "bayes",
            "metric": {"name": "wer"},
            "parameters": {"learning_rate": {"min": 0.2, "max": 1.0}},
        },
        default={"learning_rate": 0.5, "epochs": 1},
        complete=lambda drawn: {"epochs": 1, **drawn},
        budget=Budget(min_improvement=0.02),
    )
    assert len(table.trials) < 25
    assert min(trial.last("wer") for trial in table.trials) < 0.21
    assert "improve on the best by less than 2.00%" in capfd.readouterr().err


@pytest.mark.usefixtures("ray_session")
def test_earlier_winners_are_the_first_trials_after_the_default(tmp_path: Path) -> None:
    first = ({"learning_rate": 0.25, "epochs": 2}, {"learning_rate": 0.75, "epochs": 3})
    table = synthetic.run(tmp_path, synthetic.falling, trials=4, first=first)
    assert [trial.configuration for trial in table.trials[:3]] == [synthetic.DEFAULT, *first]
    assert len(table.trials) == 4


class _Running:
    status = "RUNNING"


class _Ended:
    status = "TERMINATED"


def test_what_is_spent_is_kept_and_told_without_limits_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, told = [100.0], []
    monkeypatch.setattr("stt_tune.run.meter.time.monotonic", lambda: clock[0])
    path = tmp_path / "run" / "spent.json"
    path.parent.mkdir()
    for _start in range(2):
        meter = Meter(Budget(), path, 0.5, pytest.fail, told.append)
        clock[0] += 60
        meter.on_step_end(0, [_Running(), _Running(), _Ended()])
    assert Spent.read(path) == told[-1] == Spent(seconds=120, gpu_seconds=120, trials=2)
    path.unlink()
    path.parent.rmdir()  # storage is gone
    meter.save()
    assert not path.parent.exists()


def test_gpu_hours_are_counted_over_all_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("stt_tune.run.meter.time.monotonic", lambda: clock[0])
    path, ended = RunFolder(tmp_path).spent, []
    for start in range(2):
        meter = Meter(Budget(gpu_hours=2.0), path, 0.5, lambda: ended.append(True))
        assert meter.find_spent() == ""
        clock[0] += 1800 + 3600 * start
        meter.on_step_end(0, [_Running(), _Running()])
        meter.save()
    assert meter.ended_by == "the budget of 2 GPU hours is spent"
    assert ended == [True]


def test_what_is_no_budget_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="the time budget must be a number above 0, found -1"):
        Budget(time_s=-1)
    with pytest.raises(SettingsError, match=r"GPU hours must be a number above 0, found '2h'.\nthe target must be"):
        Budget(gpu_hours="2h", target="low")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="the least improvement must be above 0 and below 1, found 2"):
        Budget(min_improvement=2)
    with pytest.raises(SettingsError, match="must be a duration such as 2h, 90m, 1h30m, 45s or 1d, found 'soon'"):
        read_duration("soon")
    with pytest.raises(SettingsError, match=r"only the model of the method bayes knows .* and the method is random"):
        Budget(min_improvement=0.01).check(SweepConfig.from_dict(synthetic.SWEEP))
    with pytest.raises(SettingsError, match="ends nothing here, as no trial uses a GPU"):
        Budget(gpu_hours=1).check_resources(synthetic.ONE_AT_A_TIME)
    Budget(gpu_hours=1).check_resources(replace(synthetic.ONE_AT_A_TIME, gpus=1))
    path = RunFolder(tmp_path).spent
    path.write_text("{")
    with pytest.raises(SettingsError, match="must say what the sweep has spent"):
        Meter(Budget(), path, 0, lambda: None)
