from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import stt_tune.run.trials as trials_module
from stt_tune.errors import SweepConfigError, SweepFailedError, SweepHaltedError, SweepInterruptedError
from stt_tune.results.trials import Trial, TrialTable
from stt_tune.run.recorder import UNREPORTED
from stt_tune.run.reporting import report
from stt_tune.run.trainable import TrainFunction
from stt_tune.run.trials import _conclude
from stt_tune.sweep.config import SweepConfig
from tests.run import synthetic

pytestmark = pytest.mark.usefixtures("ray_session")


def _reports_another_metric(config: dict[str, Any]) -> None:
    report(loss=config["learning_rate"])


def _reports_nothing(config: dict[str, Any]) -> None:
    pass


def test_the_first_trial_is_the_default_and_the_others_come_from_the_seed(tmp_path: Path) -> None:
    first = synthetic.run(tmp_path / "a", synthetic.falling, trials=5)
    second = synthetic.run(tmp_path / "b", synthetic.falling, trials=5, resources=synthetic.TWO_AT_A_TIME)
    other = synthetic.run(tmp_path / "c", synthetic.falling, trials=5, seed=1)
    assert [trial.is_default for trial in first.trials] == [True, False, False, False, False]
    assert first.trials[0].configuration == synthetic.DEFAULT
    configurations = [[dict(trial.configuration) for trial in table.trials] for table in (first, second, other)]
    assert configurations[0] == configurations[1] != configurations[2]
    assert {trial.status for trial in first.trials} == {"completed"}


def test_every_report_is_in_the_table_and_in_its_file(tmp_path: Path) -> None:
    table = synthetic.run(tmp_path, synthetic.falling, trials=3)
    for trial in table.trials:
        rate = trial.configuration["learning_rate"]
        assert trial.reports == [{"epoch": epoch, "wer": rate / epoch} for epoch in (1, 2, 3)]
    assert TrialTable.load(tmp_path / "trials.parquet").to_arrow().equals(table.to_arrow())


def test_failed_and_diverged_trials_keep_their_curve_and_the_sweep_goes_on(tmp_path: Path) -> None:
    table = synthetic.run(tmp_path, synthetic.troubled, trials=12)
    statuses = {}
    for trial in table.trials:
        rate = trial.configuration["learning_rate"]
        expected = "failed" if rate < 0.3 else "diverged" if rate > 0.7 else "completed"
        assert trial.status == expected
        assert trial.reports[0] == {"epoch": 1, "wer": rate}
        statuses[expected] = trial
    assert set(statuses) == {"failed", "diverged", "completed"}
    assert "no room for the batch" in (statuses["failed"].error or "")
    assert len(statuses["diverged"].reports) == 2


def test_weak_trials_are_stopped_at_the_rung_and_the_default_never(tmp_path: Path) -> None:
    early = {"early_terminate": {"type": "hyperband", "min_iter": 1, "eta": 3}}
    table = synthetic.run(
        tmp_path,
        synthetic.falling,
        trials=12,
        change=early,
        default={"learning_rate": 2.0, "epochs": 3},
    )
    default, *others = table.trials
    assert (default.status, len(default.reports)) == ("completed", 3)
    stopped = [trial for trial in others if trial.status == "stopped_early"]
    completed = [trial for trial in others if trial.status == "completed"]
    assert stopped
    assert completed
    assert {len(trial.reports) for trial in stopped} == {1}
    best = min(others, key=lambda trial: trial.configuration["learning_rate"])
    assert best.status == "completed"


def test_a_trial_that_reaches_its_last_epoch_is_completed_whatever_the_rung_says(tmp_path: Path) -> None:
    change = {
        "early_terminate": {"type": "hyperband", "min_iter": 1, "eta": 2},
        "parameters": {"learning_rate": {"min": 0.0, "max": 1.0}, "epochs": {"value": 1}},
    }
    table = synthetic.run(tmp_path, synthetic.falling, trials=6, change=change)
    assert {trial.status for trial in table.trials} == {"completed"}


def test_ctrl_c_behind_the_last_trial_is_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_given: object, **_info: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(trials_module._Silence, "on_experiment_end", interrupt, raising=False)
    before = signal.getsignal(signal.SIGUSR1)
    with pytest.raises(SweepInterruptedError, match="interrupted with all of 2 trials finished"):
        synthetic.run(tmp_path, synthetic.falling, trials=2)
    assert TrialTable.load(tmp_path / "trials.parquet").counts() == {"completed": 2}
    assert signal.getsignal(signal.SIGUSR1) == before


@pytest.mark.slow
def test_ctrl_c_keeps_what_was_finished_and_a_resume_completes_it(tmp_path: Path) -> None:
    table = TrialTable(("wer",))
    finished_two = threading.Event()

    def watch(now: TrialTable, _trial: Trial) -> None:
        if len(now.ended()) >= 2:
            finished_two.set()

    def interrupt() -> None:
        finished_two.wait(timeout=60)
        time.sleep(0.7)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(SweepInterruptedError, match=r"interrupted with \d of 6 trials finished"):
        synthetic.run(tmp_path, synthetic.slow, trials=6, table=table, on_change=watch)
    kept = TrialTable.load(tmp_path / "trials.parquet")
    before = {trial.number: trial.trial_id for trial in kept.ended()}
    assert 2 <= len(before) < 6
    assert "interrupted" in kept.counts()

    synthetic.run(tmp_path, synthetic.falling, trials=6, table=kept)
    undisturbed = synthetic.run(tmp_path / "undisturbed", synthetic.falling, trials=6)
    assert [trial.configuration for trial in kept.trials] == [trial.configuration for trial in undisturbed.trials]
    assert {trial.status for trial in kept.trials} == {"completed"}
    assert {trial.number: trial.trial_id for trial in kept.trials if trial.number in before} == before


def test_a_full_disk_ends_the_sweep_with_one_message_and_a_resume_completes_it(tmp_path: Path) -> None:
    def fill(table: TrialTable, _trial: Trial) -> None:
        if len(table.ended()) == 2:
            raise OSError(28, "No space left on device")

    with pytest.raises(SweepFailedError, match=r"could not go on \(OSError: .* No space left on device\)"):
        synthetic.run(tmp_path, synthetic.falling, trials=4, on_change=fill)
    kept = TrialTable.load(tmp_path / "trials.parquet")
    assert len(kept.ended()) == 2
    assert synthetic.run(tmp_path, synthetic.falling, trials=4, table=kept).counts() == {"completed": 4}


def test_without_a_default_all_trials_are_drawn(tmp_path: Path) -> None:
    table = synthetic.run(tmp_path, synthetic.falling, trials=2, default=None)
    assert table.default() is None
    assert len({trial.configuration["learning_rate"] for trial in table.trials}) == 2


def test_a_reached_target_starts_no_further_trials(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change = {"metric": {"name": "wer", "goal": "minimize", "target": 0.3}}
    table = synthetic.run(tmp_path, synthetic.falling, trials=9, change=change)
    *before, last = table.trials
    assert len(table.trials) < 9
    assert last.last("wer") <= 0.3 or last.values("wer")[1] <= 0.3
    assert all(min(trial.values("wer")) > 0.3 for trial in before)
    assert last.status == "completed"
    assert f"and the target is 0.3: {9 - len(table.trials)} trials were not started" in capsys.readouterr().err
    again = synthetic.run(tmp_path, synthetic.falling, trials=9, change=change, table=table)
    assert len(again.trials) == len(table.trials)


@pytest.mark.parametrize(
    ("train", "found"),
    [
        (_reports_another_metric, "they report loss, epoch"),
        (_reports_nothing, "they report nothing. Report it; .* call wandb.init"),
    ],
)
def test_a_metric_that_no_trial_reports_ends_the_sweep_after_the_first(
    tmp_path: Path, train: TrainFunction, found: str
) -> None:
    with pytest.raises(SweepConfigError, match=f"metric.name: must be what trials report, found 'wer'; {found}"):
        synthetic.run(tmp_path, train, trials=8)
    (trial,) = TrialTable.load(tmp_path / "trials.parquet").trials
    assert (trial.status, trial.error) == ("failed", "it never reported wer")


def test_wandbs_own_rule_can_do_the_stopping(tmp_path: Path) -> None:
    change = {"early_terminate": {"type": "hyperband", "min_iter": 1, "eta": 2}}
    table = synthetic.run(
        tmp_path,
        synthetic.falling,
        trials=8,
        change=change,
        default=None,
        scheduler="wandb-hyperband",
    )
    sweep = SweepConfig.from_dict({**synthetic.SWEEP, **change})
    histories: dict[str, list[float]] = {}
    for trial in table.trials:
        for i, wer in enumerate(trial.values("wer")):
            histories.setdefault(trial.trial_id, []).append(wer)
            is_stopped = bool(sweep.hyperband_stops(histories, [trial.trial_id]))
            ended_here = i == len(trial.reports) - 1
            assert is_stopped == (ended_here and trial.status == "stopped_early") or trial.reports[i]["epoch"] == 3
    assert table.counts()["stopped_early"] >= 1
    assert synthetic.run(tmp_path / "none", synthetic.falling, trials=4, change=change, scheduler="none").counts() == {
        "completed": 4
    }


@pytest.mark.parametrize("method", ["bayes", "grid"])
@pytest.mark.slow
def test_bayes_and_grid_take_the_same_way_and_go_on_after_a_stop(tmp_path: Path, method: str) -> None:
    parameters = {
        "learning_rate": {"values": [0.1, 0.2, 0.4, 0.8]} if method == "grid" else {"min": 0.0, "max": 1.0},
        "epochs": {"value": 1},
        "layers": {"parameters": {"frozen": {"values": [False, True]}}},
    }
    change = {"method": method, "parameters": parameters, "metric": {"name": "wer"}}
    options = {"change": change, "default": None}
    whole = synthetic.run(tmp_path / "whole", synthetic.falling, trials=8, **options)
    part = synthetic.run(tmp_path / "part", synthetic.falling, trials=6, **options)
    kept = TrialTable.load(tmp_path / "part" / "trials.parquet")
    rest = synthetic.run(tmp_path / "part", synthetic.falling, trials=8, table=kept, **options)
    assert len(part.trials) == 6
    assert [trial.configuration for trial in rest.trials] == [trial.configuration for trial in whole.trials]
    if method == "grid":
        sweep = SweepConfig.from_dict({**synthetic.SWEEP, **change})
        assert [sweep.nest(trial.configuration) for trial in whole.trials] == sweep.grid()


def _stubborn(config: dict[str, Any]) -> None:
    """Trains on, whatever it is told."""
    for epoch in range(1, config["epochs"] + 1):
        with contextlib.suppress(SystemExit):
            report(epoch=epoch, wer=config["learning_rate"] / epoch)
        time.sleep(0.7)


@pytest.mark.slow
def test_a_function_that_will_not_stop_delays_the_next_trial_and_loses_none(tmp_path: Path) -> None:
    change = {"early_terminate": {"type": "hyperband", "min_iter": 1, "eta": 2}}
    table = synthetic.run(tmp_path, _stubborn, trials=4, change=change, default=None)
    assert len(table.ended()) == 4
    stopped = [trial for trial in table.trials if trial.status == "stopped_early"]
    assert stopped
    assert {len(trial.reports) for trial in stopped} == {1}


@pytest.mark.slow
def test_early_stopping_goes_on_after_a_resume_where_it_was(tmp_path: Path) -> None:
    change = {"early_terminate": {"type": "hyperband", "min_iter": 1, "eta": 3}}
    options = {"change": change, "default": None}
    for scheduler in ("asha", "wandb-hyperband"):
        folder = tmp_path / scheduler
        whole = synthetic.run(folder / "whole", synthetic.falling, trials=9, scheduler=scheduler, **options)
        part = synthetic.run(folder / "part", synthetic.falling, trials=5, scheduler=scheduler, **options)
        rest = synthetic.run(folder / "part", synthetic.falling, trials=9, table=part, scheduler=scheduler, **options)
        found = [[(trial.status, trial.reports) for trial in table.trials] for table in (whole, rest)]
        assert found[0] == found[1]
        assert any(trial.status == "stopped_early" for trial in rest.trials[5:])


@pytest.mark.slow
def test_bayes_learns_the_same_of_failed_trials_after_a_resume(tmp_path: Path) -> None:
    change = {"method": "bayes", "metric": {"name": "wer"}}
    options = {"change": change, "default": None}
    whole = synthetic.run(tmp_path / "whole", synthetic.troubled, trials=9, **options)
    assert {"failed", "diverged", "completed"} <= set(whole.counts())
    synthetic.run(tmp_path / "part", synthetic.troubled, trials=6, **options)
    kept = TrialTable.load(tmp_path / "part" / "trials.parquet")
    rest = synthetic.run(tmp_path / "part", synthetic.troubled, trials=9, table=kept, **options)
    assert [trial.configuration for trial in rest.trials] == [trial.configuration for trial in whole.trials]


def _hasty(config: dict[str, Any]) -> None:
    """Returns at once where the learning rate is high."""
    if config["learning_rate"] <= config["return_above"]:
        time.sleep(0.5)
        report(wer=config["learning_rate"])


def test_a_trial_that_returns_early_does_not_end_the_sweep_while_another_may_report(tmp_path: Path) -> None:
    parameters = {**synthetic.SWEEP["parameters"], "return_above": {"value": 0.7}}
    table = synthetic.run(
        tmp_path, _hasty, trials=4, default=None, change={"parameters": parameters}, resources=synthetic.TWO_AT_A_TIME
    )
    # of seed 0; the second trial is done before the first one reports
    assert [round(trial.configuration["learning_rate"], 2) for trial in table.trials] == [0.64, 0.89, 0.08, 0.89]
    assert [trial.status for trial in table.trials] == ["completed", "failed", "completed", "failed"]


def test_a_sweep_that_was_ended_for_want_of_its_metric_can_go_on_if_it_came_after_all() -> None:
    sweep = SweepConfig.from_dict(synthetic.SWEEP)
    late = Trial("c", 2, False, {}, "completed", reports=[{"epoch": 1, "wer": 0.1}])
    table = TrialTable(("wer",), [Trial("a", 0, False, {}, "failed"), Trial("b", 1, False, {}, "failed"), late])
    with pytest.raises(SweepHaltedError, match="the first trials ended without a wer, so 2 others were not started"):
        _conclude(sweep, 5, UNREPORTED, table, range(5), ())


def test_interrupted_trials_are_run_again_as_they_were_whatever_the_plan(tmp_path: Path) -> None:
    table = synthetic.run(tmp_path, synthetic.falling, trials=4, default=None)
    kept = {trial.number: (trial.trial_id, dict(trial.configuration)) for trial in table.trials}
    table.trials[3].status = "interrupted"
    table.trials[1].status = "interrupted"
    again = synthetic.run(tmp_path, synthetic.falling, trials=2, default=None, table=table)
    assert again.counts() == {"completed": 4}
    for trial in again.trials:
        trial_id, configuration = kept[trial.number]
        assert trial.configuration == configuration
        assert trial.trial_id == trial_id
