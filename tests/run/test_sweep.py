"""`run_sweep`, as a user's script calls it, with every kind of training function."""

from __future__ import annotations

import contextlib
import math
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wandb

import stt_tune
from stt_tune.errors import SettingsError, SweepConfigError, SweepFailedError, SweepInterruptedError
from stt_tune.run.folder import RunFolder
from stt_tune.run.status import read_status
from stt_tune.run.sweep import SweepResult, run_sweep
from stt_tune.sweep.config import SweepConfig
from tests.run import synthetic
from tests.wandb_files import read_runs

pytestmark = pytest.mark.usefixtures("ray_session")

_SWEEP = {
    **synthetic.SWEEP,
    "metric": {"name": "wer", "goal": "minimize"},
    "early_terminate": {"type": "hyperband", "min_iter": 1, "eta": 3},
}


def _run(folder: Path, train: Callable[..., Any], **options: Any) -> SweepResult:
    arguments: dict[str, Any] = {"num_trials": 6, "wandb_mode": "disabled", "max_concurrent_trials": 1}
    return run_sweep(_SWEEP, train, storage_path=folder, **{**arguments, **options})


def _summary(result: SweepResult) -> list[Any]:
    return [(trial.status, trial.configuration, trial.values("wer")) for trial in result.table.trials]


def test_every_kind_of_function_is_scheduled_stopped_and_tabulated_alike(tmp_path: Path) -> None:
    reporting = _run(tmp_path / "a", synthetic.falling)
    assert {"completed", "stopped_early"} == set(reporting.table.counts())
    assert _summary(_run(tmp_path / "b", synthetic.yielding)) == _summary(reporting)
    assert _summary(_run(tmp_path / "c", synthetic.wandb_agent)) == _summary(reporting)
    returning = _run(tmp_path / "d", synthetic.returning)
    assert [trial.configuration for trial in returning.table.trials] == [each[1] for each in _summary(reporting)]
    assert {len(trial.reports) for trial in returning.table.trials} == {1}


def test_a_wandb_function_is_one_run_a_trial_and_the_run_is_the_trials(tmp_path: Path) -> None:
    result = _run(tmp_path, synthetic.wandb_agent, wandb_mode="offline", tags=("nightly",), wandb_project="asr")
    runs = read_runs(tmp_path / "wandb")
    assert set(runs) == {trial.trial_id for trial in result.table.trials}
    for trial in result.table.trials:
        run = runs[trial.trial_id]
        assert (run.project, run.group, run.name) == ("asr", "synthetic", f"trial-{trial.number:03d}")
        assert set(run.tags) == {"stt-tune", "random", "nightly", "mine"}
        assert {name: run.config[name] for name in trial.configuration} == trial.configuration
        assert run.config["note"] == "kept"
        assert run.summary["status"] == trial.status
        assert [row["wer"] for row in run.history if "wer" in row] == trial.values("wer")
        assert len(run.history) == 2 * len(trial.reports)


def _fails_after_init() -> None:
    wandb.init()
    raise RuntimeError("no such file")


def test_a_wandb_function_that_fails_before_its_first_report_is_still_one_run(tmp_path: Path) -> None:
    with pytest.raises(SweepFailedError, match="First error: RuntimeError: no such file"):
        _ = _run(tmp_path, _fails_after_init, wandb_mode="offline", num_trials=2).best_run
    runs = read_runs(tmp_path / "wandb")
    assert len(runs) == 2 == len(list((tmp_path / "wandb").glob("offline-run-*")))
    assert {run.summary["status"] for run in runs.values()} == {"failed"}


def test_the_result_gives_the_best_run_and_tidy_frames(tmp_path: Path) -> None:
    result = _run(tmp_path, synthetic.falling)
    trials, reports = result.dataframe(), result.reports()
    assert len(trials) == 6
    assert len(reports) == sum(len(trial.reports) for trial in result.table.trials)
    completed = trials[trials["status"] == "completed"]
    best = result.best_run
    assert best["metric_value"] == completed["wer"].min()
    assert best["hyperparameters"] == {"learning_rate": best["metric_value"] * 3, "epochs": 3}
    assert (best["metric"], best["goal"], best["epochs"], best["is_default"]) == ("wer", "minimize", 3, False)
    assert reports.equals(stt_tune.load_reports(tmp_path))
    assert trials.equals(stt_tune.load_trials(tmp_path))


def test_the_default_is_tried_first_and_fills_in_what_the_sweep_leaves_out(tmp_path: Path) -> None:
    default = {"learning_rate": 0.5, "epochs": 3, "optimizer": {"name": "adamw"}}
    result = _run(tmp_path, synthetic.falling, default=default, num_trials=3)
    first, *others = result.table.trials
    assert first.is_default
    assert first.configuration == {"learning_rate": 0.5, "epochs": 3, "optimizer.name": "adamw"}
    assert all(trial.configuration["optimizer.name"] == "adamw" for trial in others)
    assert result.sweep.nest(others[0].configuration)["optimizer"] == {"name": "adamw"}
    with pytest.raises(SettingsError, match="default must name every parameter of the sweep; epochs are missing"):
        _run(tmp_path / "other", synthetic.falling, default={"learning_rate": 0.5})


def test_a_grid_never_has_the_default(tmp_path: Path) -> None:
    sweep = {"method": "grid", "parameters": {"learning_rate": {"values": [0.1, 0.2]}, "epochs": {"value": 1}}}
    result = run_sweep(
        sweep,
        synthetic.falling,
        storage_path=tmp_path,
        default={"learning_rate": 9.0, "epochs": 1},
        wandb_mode="disabled",
    )
    assert [trial.configuration["learning_rate"] for trial in result.table.trials] == [0.1, 0.2]
    assert result.table.default() is None


def _mixed(config: dict[str, Any]) -> dict[str, Any]:
    assert isinstance(config["layers"], list)
    return {"eval/wer": float(len(config["layers"])), "size": config["net"]["size"] is None}


def test_metrics_and_values_of_any_kind_are_kept(tmp_path: Path) -> None:
    sweep = {
        "method": "grid",
        "metric": {"name": "eval/wer", "goal": "maximize"},
        "parameters": {
            "layers": {"values": [[1], [1, 2]]},
            "net": {"parameters": {"size": {"values": [None, 8, "big"]}}},
        },
    }
    result = run_sweep(sweep, _mixed, storage_path=tmp_path, wandb_mode="disabled")
    assert result.best_run["hyperparameters"] == {"layers": [1, 2], "net": {"size": None}}
    again = run_sweep(SweepConfig.from_dict(sweep), _mixed, storage_path=tmp_path, wandb_mode="disabled", resume=True)
    assert again.table.to_arrow().equals(result.table.to_arrow())
    assert [again.sweep.nest(trial.configuration) for trial in again.table.trials] == again.sweep.grid()


def test_a_sweep_is_resumed_only_as_it_was(tmp_path: Path) -> None:
    _run(tmp_path, synthetic.falling, num_trials=1)
    with pytest.raises(SettingsError, match=r"must be the folder of a run"):
        _run(tmp_path / "none", synthetic.falling, resume=True)
    with pytest.raises(SettingsError, match=r"(?s)must not hold a run yet.*It is finished: load_trials\("):
        _run(tmp_path, synthetic.falling)
    with pytest.raises(SettingsError, match="must be resumed with the seed that it began with"):
        _run(tmp_path, synthetic.falling, seed=5, resume=True)
    with pytest.raises(SettingsError, match="must be resumed with the default that it began with"):
        _run(tmp_path, synthetic.falling, default={"learning_rate": 0.5, "epochs": 1}, resume=True)
    with pytest.raises(SettingsError, match="must be resumed with the sweep that it began with"):
        run_sweep({**_SWEEP, "method": "bayes"}, synthetic.falling, storage_path=tmp_path, resume=True)
    more = _run(tmp_path, synthetic.falling, num_trials=3, resume=True)
    assert len(more.table.trials) == 3
    for scheduler in ("asha", "none"):  # it may be another, and is written down
        _run(tmp_path, synthetic.falling, num_trials=3, resume=True, scheduler=scheduler)
        assert more.folder.read_run()["scheduler"] == scheduler


def _is_interrupted(*_given: object, **_options: object) -> str:
    raise KeyboardInterrupt


def test_a_sweep_that_is_given_more_trials_is_finished_with_these(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _run(tmp_path, synthetic.falling, num_trials=2)
    assert read_status(tmp_path).state == "finished"
    with monkeypatch.context() as patched:
        patched.setattr("stt_tune.run.trials.run_trials", _is_interrupted)
        with pytest.raises(SweepInterruptedError, match="2 of 4 trials are finished"):
            _run(tmp_path, synthetic.falling, num_trials=4, resume=True)
    found = read_status(tmp_path)
    assert (found.state, found.standing.done, found.standing.num_trials) == ("interrupted", 2, 4)
    # fewer are a part of what it is to have, and ended as was asked
    _run(tmp_path, synthetic.falling, num_trials=3, resume=True)
    found = read_status(tmp_path)
    assert (found.state, found.standing.done, found.standing.num_trials) == ("finished", 3, 4)
    assert len(_run(tmp_path, synthetic.falling, num_trials=None, resume=True).table.trials) == 4
    assert read_status(tmp_path).state == "finished"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_trials": 0}, "num_trials must be a whole number of at least 1, found 0"),
        ({"num_trials": "2"}, "num_trials must be a whole number of at least 1, found '2'"),
        ({"max_concurrent_trials": 0}, "max_concurrent_trials must be a whole number of at least 1, found 0"),
        ({"max_concurrent_trials": 1.5}, "max_concurrent_trials must be a whole number of at least 1, found 1.5"),
        ({"trial_timeout_s": 0}, "trial_timeout_s must be a number of seconds above 0, found 0"),
        ({"trial_timeout_s": "30m"}, "trial_timeout_s must be a number of seconds above 0, found '30m'"),
        ({"seed": -1}, "seed must be a whole number from 0 to 4000000000, found -1"),
        ({"seed": 2**32 - 1}, "seed must be a whole number from 0 to 4000000000, found 4294967295"),
        ({"seed": 1.5}, "seed must be a whole number from 0 to 4000000000, found 1.5"),
        ({"seed": "1"}, "seed must be a whole number from 0 to 4000000000, found '1'"),
        ({"wandb_mode": "on"}, "wandb_mode must be one of offline, online, disabled, found 'on'"),
        ({"scheduler": "pbt"}, "scheduler must be one of asha, wandb-hyperband, none, found 'pbt'"),
        ({"first": [{"epochs": 1}]}, r"first\[0\] must name every parameter of the sweep; learning_rate are missing"),
        ({"first": [{"learning_rate": {1e-4}, "epochs": 1}]}, r"first\[0\] must be of text, .* found the set {0.0001}"),
        ({"default": {"learning_rate": math.inf, "epochs": 1}}, "default must be of text, .* found the number inf"),
        ({"default": {"learning_rate": 1e-4, "epochs": 1, 5: 6}}, "default must be of text, .* found the name 5"),
        (
            {"wandb_project": "a/b:c", "wandb_mode": "offline"},
            r"W&B project: must be a name of at most 128 characters .* found 'a/b:c'\. .* `entity:` in the sweep file",
        ),
        ({"first": [3]}, r"first\[0\] must be a configuration, found 3"),
        ({"budget": 7200}, r"budget must be a Budget, such as Budget\(time_s=7200\), found 7200"),
        ({"resources_per_trial": {"cpu": "1"}}, "cpu per trial must be a number of at least 0, found '1'"),
        (
            {"resources_per_trial": {"gpu": 99}},
            "resources per trial: must be what the cluster has. a trial needs 99 GPUs",
        ),
    ],
)
def test_a_call_that_cannot_hold_is_refused_before_anything_runs(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        _run(tmp_path / "run", synthetic.falling, **options)
    assert not (tmp_path / "run").exists()


def test_numbers_may_come_from_numpy_and_whole_ones_be_written_as_floats(tmp_path: Path) -> None:
    result = _run(
        tmp_path,
        synthetic.falling,
        num_trials=2.0,
        max_concurrent_trials=np.int64(1),
        seed=np.int64(3),
        default={"learning_rate": np.float32(0.5), "epochs": np.int64(3)},
        first=[{"learning_rate": np.float64(0.25), "epochs": np.int64(3)}],
    )
    assert [trial.configuration for trial in result.table.trials] == [
        {"learning_rate": 0.5, "epochs": 3},
        {"learning_rate": 0.25, "epochs": 3},
    ]
    assert (result.folder.read_run()["num_trials"], result.folder.read_run()["seed"]) == (2, 3)


def test_a_function_that_cannot_be_run_leaves_no_folder(tmp_path: Path) -> None:
    for train in (lambda config, data: None, threading.Lock().acquire):
        with pytest.raises(SettingsError, match="the training function"):
            _run(tmp_path / "run", train)
    assert not (tmp_path / "run").exists()


def test_bounds_that_are_hardly_exponents_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep = {
        "method": "random",
        "parameters": {"learning_rate": {"distribution": "log_uniform", "min": 1e-5, "max": 1e-3}},
    }
    run_sweep(sweep, _reports_wer, num_trials=1, storage_path=tmp_path, wandb_mode="disabled")
    assert (
        "these bounds stand for 1 to 1.001. If they are meant as values: log_uniform_values" in capsys.readouterr().err
    )


def test_a_sweep_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SweepConfigError, match="must be a readable sweep file"):
        run_sweep(tmp_path / "none.yaml", synthetic.falling)


def _reads_a_file(config: dict[str, Any]) -> dict[str, float]:
    return {"wer": float(Path("data/rate.txt").read_text())}


def test_paths_are_relative_to_where_the_script_was_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "rate.txt").write_text("0.25")
    monkeypatch.chdir(tmp_path)
    result = _run(tmp_path / "run", _reads_a_file, num_trials=1)
    assert result.best_run["metric_value"] == 0.25


def _writes_when_it_ends(config: dict[str, Any]) -> Iterator[dict[str, float]]:
    try:
        for _ in range(3):
            yield {"wer": config["learning_rate"]}
    finally:
        with Path("ended.txt").open("a") as file:
            file.write("x")


def test_a_function_that_is_stopped_cleans_up_where_it_ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = _run(tmp_path / "run", _writes_when_it_ends, num_trials=6)
    assert result.table.counts()["stopped_early"] > 0
    assert (tmp_path / "ended.txt").read_text() == "x" * 6


def _returns_no_mapping(config: dict[str, Any]) -> float:
    return 0.3


def _reports_text(config: dict[str, Any]) -> dict[str, str]:
    return {"wer": "0.3"}


def _exits(config: dict[str, Any]) -> None:
    stt_tune.report(wer=config["learning_rate"])
    sys.exit("no data")


def _exits_while_it_yields(config: dict[str, Any]) -> Iterator[dict[str, float]]:
    yield {"wer": config["learning_rate"]}
    sys.exit("no data")


class _OwnError(Exception):
    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{text} ({code})")


def _fails_in_its_own_way(config: dict[str, Any]) -> None:
    raise _OwnError(7, "no data")


@pytest.mark.parametrize(
    ("train", "message"),
    [
        (_returns_no_mapping, "_returns_no_mapping must return its metrics by name, or nothing; found 0.3"),
        (_reports_text, "wer must be reported as a number, found '0.3'"),
        (_exits, r"_exits has called sys.exit\('no data'\)"),
        (_exits_while_it_yields, r"_exits_while_it_yields has called sys.exit\('no data'\)"),
        (_fails_in_its_own_way, r"RuntimeError: _OwnError: no data \(7\)$"),
    ],
)
def test_a_function_that_does_not_do_as_it_must_is_told(
    tmp_path: Path, train: Callable[..., Any], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    result = _run(tmp_path, train, num_trials=1)
    (trial,) = result.table.trials
    assert trial.status == "failed"
    assert re.search(message, trial.error or "")
    assert f"trial 0 failed: {trial.error}" in capsys.readouterr().err
    assert "1 failed" in repr(result)


def _exits_in_peace(config: dict[str, Any]) -> None:
    stt_tune.report(wer=config["learning_rate"])
    sys.exit()


def _ends_in_nan(config: dict[str, Any]) -> Iterator[dict[str, float]]:
    yield {"wer": 0.5}
    yield {"wer": math.nan}


def test_how_a_function_ends_is_its_trials_status(tmp_path: Path) -> None:
    for train, status in ((_exits_in_peace, "completed"), (_ends_in_nan, "diverged")):
        (trial,) = _run(tmp_path / status, train, num_trials=1).table.trials
        assert trial.status == status


def _says_everything_twice() -> None:
    run = wandb.init()
    wandb.init()
    for epoch in range(run.config["epochs"]):
        wandb.log({"wer": run.config["learning_rate"] / (epoch + 1)})
        stt_tune.report(wer=9.0)


def test_what_is_said_in_two_ways_is_one_report(tmp_path: Path) -> None:
    result = _run(tmp_path, _says_everything_twice, wandb_mode="offline", num_trials=1)
    (trial,) = result.table.trials
    assert trial.values("wer") == [trial.configuration["learning_rate"] / epoch for epoch in (1, 2, 3)]
    (logged,) = read_runs(tmp_path / "wandb").values()
    assert [row["wer"] for row in logged.history] == trial.values("wer")


def _says_it_in_the_summary() -> None:
    with wandb.init() as run:
        run.summary["wer"] = run.config["learning_rate"]


def test_a_metric_in_wandbs_summary_is_reported(tmp_path: Path) -> None:
    result = _run(tmp_path, _says_it_in_the_summary, num_trials=2, wandb_mode="offline")
    assert [trial.values("wer") for trial in result.table.trials] == [
        [trial.configuration["learning_rate"]] for trial in result.table.trials
    ]
    assert {run.summary["status"] for run in read_runs(tmp_path / "wandb").values()} == {"completed"}


def _logs_something_else() -> None:
    with wandb.init():
        wandb.log({"val_loss": 1.0})


def test_a_wandb_function_that_never_logs_the_metric_is_told_what_it_logs(tmp_path: Path) -> None:
    with pytest.raises(SweepConfigError, match="found 'wer'; they report val_loss, epoch"):
        _run(tmp_path, _logs_something_else)


def test_an_objective_may_be_called_error_and_tags_may_be_long(tmp_path: Path) -> None:
    sweep = {**synthetic.SWEEP, "metric": {"name": "error"}, "entity": "speech-team"}
    tag = "/models/" + "x" * 100
    result = run_sweep(sweep, _reports_error, num_trials=1, storage_path=tmp_path, tags=(tag,))
    assert result.best_run["metric"] == "error"
    (logged,) = read_runs(tmp_path / "wandb").values()
    assert tag[-64:] in logged.tags
    assert logged.summary["error"] == result.best_run["metric_value"]


def _reports_error(config: dict[str, Any]) -> dict[str, float]:
    return {"error": config["learning_rate"]}


def test_choices_that_are_mappings_are_kept_apart_from_the_default(tmp_path: Path) -> None:
    choices = [{"name": "sgd"}, {"name": "adamw", "eps": 1e-8}, {}]
    sweep = {"method": "random", "parameters": {"optimizer": {"values": choices}}}
    default = {"optimizer": {"name": "adamw", "eps": 1e-8}, "more": {"a": {}}}
    result = run_sweep(sweep, _reports_wer, num_trials=8, storage_path=tmp_path, default=default, wandb_mode="disabled")
    configurations = [result.sweep.nest(trial.configuration) for trial in result.table.trials]
    assert all(each["optimizer"] in choices and each["more"] == {"a": {}} for each in configurations)
    assert len({repr(each["optimizer"]) for each in configurations}) == 3


def _reports_wer(config: dict[str, Any]) -> dict[str, float]:
    return {"wer": 0.1}


@contextlib.contextmanager
def _locked_by_another(path: Path) -> Iterator[None]:
    script = (
        "from pathlib import Path; from stt_tune.run.folder import RunFolder\n"
        f"with RunFolder(Path({str(path)!r})).locked(): print('locked', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout
        assert other.stdout.readline() == "locked\n"
        yield
        other.communicate("\n")


def test_a_folder_is_run_by_one_process_at_a_time(tmp_path: Path) -> None:
    _run(tmp_path / "begun", synthetic.falling, num_trials=1)
    told = "must be run by one process at a time, and another one runs it"
    with _locked_by_another(tmp_path / "begun"), pytest.raises(SettingsError, match=told):
        _run(tmp_path / "begun", synthetic.falling, num_trials=2, resume=True)
    with _locked_by_another(tmp_path / "new"), pytest.raises(SettingsError, match=told):
        _run(tmp_path / "new", synthetic.falling, num_trials=2)
    assert not RunFolder(tmp_path / "new").run.exists()
    assert len(_run(tmp_path / "begun", synthetic.falling, num_trials=2, resume=True).table.trials) == 2
