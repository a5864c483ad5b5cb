"""What W&B is given, read back from its offline files and compared with the trial table."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from stt_tune.run.tune import TuneResult
from tests.run import synthetic
from tests.wandb_files import read_runs


def test_every_trial_is_one_run_with_its_configuration_metrics_and_state(small_run: TuneResult) -> None:
    runs = read_runs(small_run.folder.path / "wandb")
    trials = {trial.trial_id: trial for trial in small_run.table.trials}
    assert set(runs) == set(trials)
    for trial_id, run in runs.items():
        trial = trials[trial_id]
        assert (run.project, run.group) == ("stt-tune", "small")
        assert set(run.tags) == {"stt-tune", "random", "tiny.en"}
        assert run.name == f"trial-{trial.number:03d}{'-default' if trial.is_default else ''}"
        assert {name: run.config[name] for name in trial.configuration} == trial.configuration
        assert run.summary["status"] == trial.status
        assert len(run.history) == len(trial.reports)
        for row, report in zip(run.history, trial.reports, strict=True):
            assert {name: row[name] for name in report} == report


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


def test_online_without_a_key_stays_offline_and_says_so(
    ray_session: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    table = synthetic.run(tmp_path / "run", synthetic.falling, trials=1, wandb_mode="online")
    assert "no key is configured, so runs are kept offline" in capsys.readouterr().err
    assert set(read_runs(tmp_path / "run" / "wandb")) == {trial.trial_id for trial in table.trials}
