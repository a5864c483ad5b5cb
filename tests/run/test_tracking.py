"""What W&B is given, read back from its offline files and compared with the trial table."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import pytest
import wandb
from ray.tune.experiment import Trial

from stt_tune.run.budget import Budget
from stt_tune.run.reporting import report
from stt_tune.run.tracking import build_identity, build_trackers
from stt_tune.run.trainable import TrainFunction
from stt_tune.run.tune import TuneResult
from stt_tune.run.wandb_runs import find_runs
from tests.run import synthetic
from tests.wandb_files import read_run, read_runs


def test_every_trial_is_one_run_with_its_configuration_metrics_and_state(small_run: TuneResult) -> None:
    runs = read_runs(small_run.folder.path / "wandb")
    trials = {trial.trial_id: trial for trial in small_run.table.trials}
    assert set(runs) == set(trials)
    for trial_id, run in runs.items():
        trial = trials[trial_id]
        assert (run.project, run.group) == ("stt-tune", "small")
        assert set(run.tags) == {"stt-tune", "random", small_run.document["model"][-64:]}
        assert run.name == f"trial-{trial.number:03d}{'-default' if trial.is_default else ''}"
        assert {name: run.config[name] for name in trial.configuration} == trial.configuration
        assert run.summary["status"] == trial.status
        assert len(run.history) == len(trial.reports)
        for row, reported in zip(run.history, trial.reports, strict=True):
            assert {name: row[name] for name in reported} == reported


def test_failed_diverged_and_stopped_trials_are_tracked_like_the_others(ray_session: None, tmp_path: Path) -> None:
    table = synthetic.run(tmp_path, synthetic.troubled, trials=8, wandb_mode="offline")
    runs = read_runs(tmp_path / "wandb")
    assert {trial.status for trial in table.trials} == {"failed", "diverged", "completed"}
    for trial in table.trials:
        run = runs[trial.trial_id]
        assert run.summary["status"] == trial.status
        assert [row["epoch"] for row in run.history] == [report["epoch"] for report in trial.reports]
        if trial.status == "diverged":
            assert math.isnan(float(run.history[-1]["wer"]))


def _fails(config: dict[str, Any]) -> None:
    report(wer=1.0)
    raise RuntimeError("no room")


def _agent_that_fails() -> None:
    wandb.init()
    wandb.log({"wer": 1.0})
    raise RuntimeError("no room")


def test_runs_look_alike_whoever_logs_them(ray_session: None, tmp_path: Path) -> None:
    by_us, by_itself = (
        read_runs(tmp_path / str(i) / "wandb")
        for i, train in enumerate((_fails, _agent_that_fails))
        if synthetic.run(tmp_path / str(i), train, trials=1, wandb_mode="offline")
    )
    (ours,), (its,) = by_us.values(), by_itself.values()
    assert set(ours.config) == set(its.config)
    assert ours.config["trial_log_path"] == str(tmp_path / "0")
    assert its.config["trial_log_path"] == str(tmp_path / "1")
    assert (ours.exit_code, its.exit_code) == (1, 1)
    assert [row["wer"] for row in ours.history] == [row["wer"] for row in its.history] == [1.0]


def _agent_that_diverges() -> None:
    with wandb.init() as run:
        for wer in (0.5, math.nan):
            run.log({"wer": wer})


def _slow_agent() -> None:
    with wandb.init() as run:
        for epoch in range(1, 4):
            time.sleep(0.5)
            run.log({"wer": run.config["learning_rate"] / epoch})


_EARLY = {"early_terminate": {"type": "hyperband", "min_iter": 1, "eta": 3}}


@pytest.mark.parametrize(
    ("train", "options", "status"),
    [
        (_agent_that_diverges, {}, "diverged"),
        (_slow_agent, {"budget": Budget(time_s=0.1), "scheduler": "none"}, "interrupted"),
        (synthetic.wandb_agent, {"change": _EARLY, "trials": 12}, "stopped_early"),
    ],
)
def test_a_function_that_logs_by_itself_has_the_state_that_the_table_has(
    ray_session: None, tmp_path: Path, train: TrainFunction, options: dict[str, Any], status: str
) -> None:
    table = synthetic.run(tmp_path, train, **{"trials": 1, "default": None, "wandb_mode": "offline", **options})
    runs = read_runs(tmp_path / "wandb")
    assert {trial.trial_id: trial.status for trial in table.trials} == {
        each.id: each.summary["status"] for each in runs.values()
    }
    assert status in {trial.status for trial in table.trials}


def test_a_trial_that_goes_on_and_fails_at_once_has_failed_and_keeps_what_it_told(
    ray_session: None, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"trials": 1, "default": None, "wandb_mode": "offline"}
    table = synthetic.run(tmp_path, synthetic.slow, **options, budget=Budget(time_s=0.1), scheduler="none")
    assert [trial.status for trial in table.trials] == ["interrupted"]
    synthetic.run(tmp_path, _fails_at_once, table=table, **options)
    (trial,) = table.trials
    assert trial.status == "failed"
    ((before, after),) = find_runs(tmp_path / "wandb")
    assert [row["wer"] for row in read_run(before.path).history] == trial.values("wer")
    last = read_run(after.path)
    assert (last.id, last.summary["status"], last.exit_code) == (trial.trial_id, "failed", 1)


def _fails_at_once(config: dict[str, Any]) -> None:
    raise RuntimeError("no such file")


def _logs_in() -> None:
    wandb.login()
    with wandb.init() as run:
        run.log({"wer": 0.5})


def test_a_function_may_log_in_though_runs_are_kept_offline(ray_session: None, tmp_path: Path) -> None:
    table = synthetic.run(tmp_path, _logs_in, trials=1, wandb_mode="offline")
    assert [trial.status for trial in table.trials] == ["completed"]


def test_wandb_out_of_reach_is_told_once_and_runs_stay_offline(
    ray_session: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_HTTP_TIMEOUT", "2")
    wandb.teardown()  # so that it reads the environment again
    table = synthetic.run(tmp_path, synthetic.falling, trials=2, wandb_mode="online")
    wandb.teardown()
    (said,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("W&B:")]
    assert "127.0.0.1:9" in said
    assert "so runs are kept offline; later: stt-tune wandb-sync" in said
    assert set(read_runs(tmp_path / "wandb")) == {trial.trial_id for trial in table.trials}


@pytest.fixture
def trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trial:
    monkeypatch.setattr(Trial, "path", str(tmp_path))
    return Trial("stub", trial_id="abc", config={"epochs": 3}, stub=True)


def test_a_run_ends_with_its_trial(tmp_path: Path, trial: Trial) -> None:
    identity = build_identity("offline", folder=tmp_path, project="p", group="g", tags=())
    (tracker,) = build_trackers(identity, lambda _trial_id: "completed")
    (tmp_path / "wandb").mkdir()
    tracker.log_trial_result(1, trial, {"wer": 0.5, "epoch": 1, "training_iteration": 1})
    tracker._thread.submit(lambda: None).result()
    tracker.log_trial_end(trial)
    tracker._thread.submit(lambda: None).result()
    assert not tracker._runs
    (run,) = read_runs(tmp_path / "wandb").values()
    assert (run.summary["status"], run.exit_code) == ("completed", 0)
    tracker.on_experiment_end([])


def test_epochs_that_a_retried_trial_reports_again_are_logged_once(tmp_path: Path, trial: Trial) -> None:
    identity = build_identity("offline", folder=tmp_path, project="p", group="g", tags=())
    (tracker,) = build_trackers(identity, lambda _trial_id: "completed")
    for epoch in (1, 2, 1, 2, 3):
        tracker.log_trial_result(epoch, trial, {"wer": 0.5, "epoch": epoch})
    tracker.log_trial_end(trial)
    tracker.on_experiment_end([])
    (run,) = read_runs(tmp_path / "wandb").values()
    assert [(row["epoch"], row["_step"]) for row in run.history] == [(1, 1), (2, 2), (3, 3)]


def test_what_ails_wandb_ends_no_sweep(ray_session: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "wandb").write_text("a file in the way")
    table = synthetic.run(tmp_path, synthetic.falling, trials=1, wandb_mode="offline")
    assert [trial.status for trial in table.trials] == ["completed"]
    assert "W&B: trial-000-default is not logged any further" in capsys.readouterr().err


def test_online_without_a_key_stays_offline_and_says_so(
    ray_session: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    table = synthetic.run(tmp_path / "run", synthetic.falling, trials=1, wandb_mode="online")
    assert "no key is configured, so runs are kept offline" in capsys.readouterr().err
    assert set(read_runs(tmp_path / "run" / "wandb")) == {trial.trial_id for trial in table.trials}
