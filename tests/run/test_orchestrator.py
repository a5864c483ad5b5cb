"""The six calls of a W&B sweep script, on Ray, with each kind of training function."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stt_tune import (
    SweepConfig,
    WandbSweepOrchestrator,
    load_config,
    save_config,
    update_optimal_config,
)
from stt_tune.errors import SettingsError, SweepFailedError
from stt_tune.run.status import read_status
from tests.run import synthetic

pytestmark = pytest.mark.usefixtures("ray_session")


def _orchestrator(folder: Path, **options: Any) -> WandbSweepOrchestrator:
    return WandbSweepOrchestrator(
        project_name="stt-optimization",
        storage_path=folder,
        **{"wandb_mode": "disabled", "max_concurrent_trials": 2, **options},
    )


@pytest.mark.parametrize(
    ("method", "train_fn"),
    [
        ("random", synthetic.falling),
        ("bayes", synthetic.yielding),
        ("random", synthetic.returning),
        ("bayes", synthetic.wandb_agent),
    ],
)
def test_a_script_needs_only_its_import_line_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, train_fn: Callable[..., Any]
) -> None:
    monkeypatch.chdir(tmp_path)
    config = SweepConfig.create_finetuning_sweep(method=method, num_trials=20)
    orchestrator = WandbSweepOrchestrator(project_name="stt-optimization")
    sweep_id = orchestrator.create_sweep(config)
    orchestrator.run_sweep_agent(train_fn, sweep_id, count=3)
    # of the sweep's 20 trials three were asked for, and came
    assert read_status(orchestrator.get_result(sweep_id).folder.path).state == "finished"
    best = orchestrator.get_best_run(sweep_id)
    assert set(best["hyperparameters"]) == set(config.parameters)
    rate, epochs = (best["hyperparameters"][name] for name in ("learning_rate", "epochs"))
    assert best["metric_value"] == pytest.approx(rate / epochs)

    save_config("optimal_config.json", best["hyperparameters"])
    params = load_config("optimal_config.json")
    assert params == best["hyperparameters"]
    assert {**params, "epochs": 99}["epochs"] == 99
    update_optimal_config(best["hyperparameters"])
    assert load_config("optimal_config.json") == params


def test_the_models_default_is_the_first_trial(tmp_path: Path) -> None:
    orchestrator = _orchestrator(tmp_path)
    config = SweepConfig.create_minimal_sweep(num_trials=2, model="whisper-tiny")
    sweep_id = orchestrator.create_sweep(config)
    result = orchestrator.run_sweep_agent(synthetic.falling, sweep_id)
    assert [trial.is_default for trial in result.table.trials] == [True, False]
    assert result.table.trials[0].configuration == config.default


@pytest.mark.slow
def test_further_calls_go_on_with_the_sweep_and_sweeps_survive_the_process(tmp_path: Path) -> None:
    config = SweepConfig.create_minimal_sweep(num_trials=2)
    sweep_id = _orchestrator(tmp_path).create_sweep(config)
    _orchestrator(tmp_path).run_sweep_agent(synthetic.falling, sweep_id, count=2)
    first = _orchestrator(tmp_path).get_result(sweep_id).table
    result = _orchestrator(tmp_path).run_sweep_agent(synthetic.falling, sweep_id, count=3)
    assert len(result.table.trials) == 5
    assert [trial.trial_id for trial in result.table.trials[:2]] == [trial.trial_id for trial in first.trials]
    assert _orchestrator(tmp_path).get_best_run(sweep_id) == result.best_run
    # as if they had been one call
    whole = _orchestrator(tmp_path)
    at_once = whole.run_sweep_agent(synthetic.falling, whole.create_sweep(config), count=5)
    assert [each.configuration for each in at_once.table.trials] == [each.configuration for each in result.table.trials]


def test_a_sweep_has_no_more_trials_than_its_run_cap(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    orchestrator = _orchestrator(tmp_path)
    sweep_id = orchestrator.create_sweep({**synthetic.SWEEP, "run_cap": 2})
    orchestrator.run_sweep_agent(synthetic.falling, sweep_id, count=20)
    result = orchestrator.run_sweep_agent(synthetic.falling, sweep_id, count=20)
    assert len(result.table.trials) == 2
    assert "all 2 trials of synthetic" in capsys.readouterr().err


def test_two_sweeps_of_one_name_are_told_apart(tmp_path: Path) -> None:
    orchestrator = _orchestrator(tmp_path)
    ids = {orchestrator.create_sweep(synthetic.SWEEP) for _ in range(3)}
    names = {orchestrator.get_result(each).sweep.name for each in ids}
    assert len(ids) == len(names) == 3


def test_mistakes_are_told(tmp_path: Path) -> None:
    orchestrator = _orchestrator(tmp_path)
    sweep_id = orchestrator.create_sweep(synthetic.SWEEP)
    with pytest.raises(SweepFailedError, match=r"no trial was completed \(none was started\)"):
        orchestrator.get_best_run(sweep_id)
    with pytest.raises(SettingsError, match=f"sweep 'nonsense': must lie in .* There are: {sweep_id}."):
        orchestrator.get_best_run("nonsense")
    for count in (0, "3", 1.5):
        with pytest.raises(SettingsError, match=f"count: must be a whole number of at least 1, found {count!r}"):
            orchestrator.run_sweep_agent(synthetic.falling, sweep_id, count)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="seed: must be a whole number from 0 to 4000000000, found '1'"):
        WandbSweepOrchestrator("p", seed="1")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="The training function comes first: run_sweep_agent"):
        orchestrator.run_sweep_agent(sweep_id, synthetic.falling)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="project_name: must be a name without slashes, found 'a/b'"):
        WandbSweepOrchestrator("a/b")
    with pytest.raises(SettingsError, match="storage_path: must be a folder on a disk, found 's3://bucket/runs'"):
        WandbSweepOrchestrator("p", storage_path="s3://bucket/runs")


def test_its_folder_may_be_written_as_a_url(tmp_path: Path) -> None:
    sweep_id = _orchestrator(tmp_path).create_sweep(synthetic.SWEEP)
    orchestrator = WandbSweepOrchestrator("stt-optimization", storage_path=f"file://{tmp_path}")
    assert orchestrator.get_result(sweep_id).folder.path.is_relative_to(tmp_path)
