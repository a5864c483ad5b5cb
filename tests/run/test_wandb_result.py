"""The sweep's result in W&B: the real client against a server on this machine."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from stt_tune.errors import WandbSyncError
from stt_tune.run import wandb_result
from stt_tune.run.folder import RunFolder
from stt_tune.run.settings import TuneSettings
from stt_tune.run.sweep import run_sweep
from stt_tune.run.tracking import build_identity
from stt_tune.run.tune import tune
from stt_tune.run.wandb_place import find_place, note_place
from stt_tune.run.wandb_result import JOB_TYPE, find_due, publish_at_end
from stt_tune.run.wandb_sync import SyncResult, sync_wandb
from tests.conftest import SMALL_SWEEP
from tests.run import synthetic
from tests.run.wandb_folder import HELD_OUT, conclude, log_offline, make_folder
from tests.wandb_files import read_run
from tests.wandb_server import KEY, WandbServer, serving


@pytest.fixture
def server() -> Iterator[WandbServer]:
    with serving() as server:
        yield server


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished sweep with its offline runs."""
    folder = make_folder(tmp_path_factory.mktemp("sweep") / "logged")
    log_offline(folder)
    for file in folder.path.glob("wandb/*run-*/run-*.wandb"):
        read_run(file)
    return folder.path


@pytest.fixture
def folder(logged: Path, tmp_path: Path) -> RunFolder:
    """A copy of it."""
    shutil.copytree(logged, tmp_path, symlinks=True, dirs_exist_ok=True)
    return RunFolder(tmp_path)


def test_one_sync_uploads_the_runs_tags_the_best_and_attaches_the_config(
    server: WandbServer, folder: RunFolder
) -> None:
    conclude(folder, "third")
    before = {path: path.read_bytes() for path in folder.path.glob("wandb/offline-run-*/*.wandb")}
    assert sync_wandb(folder.path) == SyncResult(("first", "second", "third"), 3, tagged="third", attached=True)
    assert {name: run.tags for name, run in server.runs.items() if name in ("first", "second", "third")} == {
        "first": ["stt-tune"],
        "second": ["stt-tune"],
        "third": ["stt-tune", "best"],
    }
    assert server.runs["third"].summary["wer"] == pytest.approx(1 / 11)  # tagging has left it alone
    (artifact,) = server.artifacts.versions
    assert (artifact.name, artifact.kind, artifact.is_committed) == ("small-s-own-x-optimal-config", JOB_TYPE, True)
    assert artifact.files["optimal_config.json"] == folder.optimal_config.read_bytes()
    run = server.runs[artifact.run]
    assert (run.asked["jobType"], run.asked.get("groupName"), run.exit_code) == (JOB_TYPE, None, 0)
    assert run.config["learning_rate"] == {"value": 1e-4}
    assert run.summary["decision"] == "default_kept"
    figures = {name: value for name, value in HELD_OUT.items() if isinstance(value, int | float)}
    assert {name: run.summary[f"held_out/{name}"] for name in figures} == figures
    assert before == {path: path.read_bytes() for path in before}  # nor are the trials' own files touched

    server.failure = "401"  # with nothing left, W&B is not even asked
    assert sync_wandb(folder.path) == SyncResult((), 3)
    secret = KEY.encode()
    assert not [path for path in folder.path.rglob("*") if path.is_file() and secret in path.read_bytes()]
    assert secret not in server.received


def test_another_winner_takes_the_tag_over_and_the_config_gets_a_version_more(
    server: WandbServer, folder: RunFolder
) -> None:
    assert sync_wandb(folder.path).tagged == "third"  # the best on dev
    assert not server.artifacts.versions
    conclude(folder, "first")  # held-out speech has chosen otherwise
    assert sync_wandb(folder.path) == SyncResult((), 3, tagged="first", attached=True)
    conclude(folder, "first", by_error_type={})
    assert sync_wandb(folder.path) == SyncResult((), 3, tagged=None, attached=True)
    assert [name for name, run in server.runs.items() if "best" in run.tags] == ["first"]
    assert len(server.artifacts.versions) == 2


def test_what_wandb_refuses_of_the_result_is_told_and_done_by_the_next_sync(
    server: WandbServer, folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    conclude(folder, "third")
    monkeypatch.setattr(wandb_result, "FINISH_TIMEOUT_S", 1)
    server.refused_operations = {"CreateArtifact"}
    with pytest.raises(WandbSyncError, match=r"all W&B runs are uploaded, and the sweep's result must be, and is not"):
        sync_wandb(folder.path)
    assert "best" in server.runs["third"].tags
    server.refused_operations = set()
    monkeypatch.undo()
    assert sync_wandb(folder.path) == SyncResult((), 3, tagged=None, attached=True)


def test_a_best_trial_whose_run_is_elsewhere_is_told_and_the_config_is_attached(
    server: WandbServer, folder: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    conclude(folder, "taken-over")
    assert sync_wandb(folder.path) == SyncResult(("first", "second", "third"), 3, tagged=None, attached=True)
    assert "W&B: the best trial's run taken-over is not in someone/p, so it is not tagged" in capsys.readouterr().err


def test_an_online_sweep_publishes_at_its_end_and_an_offline_one_does_not(server: WandbServer, tmp_path: Path) -> None:
    offline = make_folder(tmp_path / "offline")
    conclude(offline, "third")
    publish_at_end(offline)
    assert not server.artifacts.versions
    online = make_folder(tmp_path / "online", mode="online")
    conclude(online, "third")
    (online.path / "wandb").mkdir()
    publish_at_end(online)
    assert len(server.artifacts.versions) == 1
    assert find_due(online) is not None  # its trials' runs are not there


def test_wandb_that_does_not_answer_at_the_end_costs_a_line(
    server: WandbServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_folder(tmp_path, mode="online")
    conclude(folder, "third")
    server.failure = "hang"
    monkeypatch.setattr(wandb_result, "_PATIENCE_S", 0.5)
    publish_at_end(folder)
    said = capsys.readouterr().err
    assert "W&B: the sweep's result is not there yet (it does not answer); later: stt-tune wandb-sync" in said
    server.failure = "401"
    monkeypatch.setattr(wandb_result, "_PATIENCE_S", 20)
    publish_at_end(folder)
    assert "the sweep's result is not there yet (" in capsys.readouterr().err


def test_nothing_is_due_where_wandb_is_off_or_nothing_is_known(tmp_path: Path) -> None:
    assert find_due(RunFolder(tmp_path)) is None
    assert find_due(make_folder(tmp_path / "off", mode="disabled")) is None
    folder = make_folder(tmp_path / "new")
    folder.trials.unlink()
    assert find_due(folder) is None
    place = find_place(folder)
    assert place is not None
    assert (place.project, place.group, place.mode, place.entity) == ("p", 'small\'s "own" = x', "offline", None)
    assert json.loads(folder.run.read_text())["wandb"]["project"] == "p"


def test_a_sweep_that_logs_online_ends_with_its_best_run_tagged(
    ray_session: None, server: WandbServer, tmp_path: Path
) -> None:
    result = run_sweep(
        {**synthetic.SWEEP, "project": "p"},
        synthetic.falling,
        num_trials=2,
        default=synthetic.DEFAULT,
        storage_path=tmp_path / "run",
        wandb_mode="online",
        max_concurrent_trials=1,
    )
    assert set(server.runs) == {trial.trial_id for trial in result.table.trials}
    assert [name for name, run in server.runs.items() if "best" in run.tags] == [result.best_trial.trial_id]
    assert sync_wandb(tmp_path / "run") == SyncResult((), 2)


def test_a_result_waits_for_runs_that_wandb_lacks(server: WandbServer, folder: RunFolder) -> None:
    note_place(folder, build_identity("online", folder=folder.path, project="p", group="g", tags=()))
    conclude(folder, "third")
    publish_at_end(folder)
    assert not server.artifacts.versions
    assert sync_wandb(folder.path) == SyncResult(("first", "second", "third"), 3, tagged="third", attached=True)


@pytest.mark.slow
def test_a_confirmed_run_that_logs_online_ends_with_tag_and_artifact(
    ray_session: None, server: WandbServer, corpus: Path, small_model: str, tmp_path: Path
) -> None:
    sweep = tmp_path / "small.yaml"
    sweep.write_text(SMALL_SWEEP)
    settings = TuneSettings(data=str(corpus), model=small_model, trials=2, wandb="online")
    result = tune(sweep, settings, tmp_path / "run")
    winner = result.document["winner"]["trial_id"]
    assert [name for name, run in server.runs.items() if "best" in run.tags] == [winner]
    (artifact,) = server.artifacts.versions
    assert artifact.files["optimal_config.json"] == result.folder.optimal_config.read_bytes()
    assert sync_wandb(tmp_path / "run") == SyncResult((), 2)
