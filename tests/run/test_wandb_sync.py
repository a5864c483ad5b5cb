"""W&B that fails half way, and what is uploaded later: the real client against a server on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import wandb
from filelock import FileLock
from ray.tune.experiment import Trial

from stt_tune.errors import SettingsError, WandbError, WandbSyncError
from stt_tune.run import tracking
from stt_tune.run.reporting import Reporter
from stt_tune.run.tracking import WandbTracker, build_identity, build_trackers
from stt_tune.run.wandb_function import WandbFunction
from stt_tune.run.wandb_link import mark_continuing, synced_mark, was_begun
from stt_tune.run.wandb_runs import find_runs
from stt_tune.run.wandb_sync import SyncResult, sync_wandb
from tests.run import synthetic
from tests.wandb_files import read_run
from tests.wandb_server import KEY, WandbServer, serving


@pytest.fixture
def server() -> Iterator[WandbServer]:
    with serving() as server:
        yield server


@pytest.fixture
def trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trial:
    monkeypatch.setattr(Trial, "path", str(tmp_path))
    return Trial("stub", trial_id="abc", config={"epochs": 3}, stub=True)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The timeouts, so that nobody waits for them."""
    monkeypatch.setattr(tracking, "INIT_TIMEOUT_S", 1)
    monkeypatch.setattr(tracking, "FINISH_TIMEOUT_S", 1)


def _track(folder: Path, mode: str) -> WandbTracker:
    identity = build_identity(mode, folder=folder, project="p", group="g", tags=())
    (tracker,) = build_trackers(identity, lambda _trial_id: "completed")
    return tracker


def _report(tracker: WandbTracker, trial: Trial, epochs: range) -> None:
    for epoch in epochs:
        tracker.log_trial_result(epoch, trial, {"wer": 1 / epoch, "epoch": epoch})


def _end(tracker: WandbTracker, *trials: Trial) -> None:
    for trial in trials:
        tracker.log_trial_end(trial)
    tracker.on_experiment_end([])


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _sync(folder: Path) -> SyncResult:
    """Upload what is missing, once W&B's service has written all files to their ends."""
    for file in folder.glob("wandb/*run-2*/run-*.wandb"):
        if was_begun(file.parent):
            read_run(file)
    return sync_wandb(folder)


def _steps(server: WandbServer, run_id: str) -> list[int]:
    return [row["_step"] for row in server.runs[run_id].history]


def test_a_trial_that_began_again_offline_is_uploaded_once_with_all_of_it(
    server: WandbServer, tmp_path: Path, trial: Trial
) -> None:
    for epochs in (range(1, 3), range(1, 4)):
        tracker = _track(tmp_path, "offline")
        _report(tracker, trial, epochs)
        _end(tracker, trial)
    assert _sync(tmp_path) == SyncResult(("abc",), 1)
    run = server.runs["abc"]
    assert [row["_step"] for row in run.lines.values()] == [1, 2, 3]
    assert (run.summary["status"], run.exit_code) == ("completed", 0)
    server.failure = "401"  # with nothing left, W&B is not even asked
    assert _sync(tmp_path) == SyncResult((), 1)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("failure", ["hang", "401"])
def test_wandb_that_goes_away_half_way_holds_nothing_up_and_gets_the_rest_later(
    server: WandbServer, tmp_path: Path, trial: Trial, capsys: pytest.CaptureFixture[str], failure: str
) -> None:
    tracker = _track(tmp_path, "online")
    _report(tracker, trial, range(1, 3))
    _wait(lambda: "abc" in server.runs and len(server.runs["abc"].history) == 2)
    server.failure = failure
    _report(tracker, trial, range(3, 4))
    began = time.monotonic()
    _end(tracker, trial)
    assert time.monotonic() - began < tracking._LAST_WAIT_S
    (said,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("W&B: it")]
    assert "cannot be reached any more (not all of stub_abc was taken). The sweep goes on" in said
    assert said.endswith(f"stt-tune wandb-sync {tmp_path}")
    (file,) = tmp_path.glob("wandb/run-*/run-abc.wandb")
    kept = read_run(file)
    assert ([row["_step"] for row in kept.history], kept.exit_code) == ([1, 2, 3], 0)
    assert kept.summary["status"] == "completed"

    server.failure = ""
    assert _sync(tmp_path).uploaded == ("abc",)
    assert _steps(server, "abc") == [1, 2, 3]
    assert server.runs["abc"].exit_code == 0
    assert _sync(tmp_path).uploaded == ()


@pytest.mark.usefixtures("impatient")
def test_a_run_that_cannot_begin_online_begins_offline_and_the_next_ones_do_at_once(
    server: WandbServer, tmp_path: Path, trial: Trial, capsys: pytest.CaptureFixture[str]
) -> None:
    second, third = (Trial("stub", trial_id=run_id, config={"epochs": 3}, stub=True) for run_id in ("def", "ghi"))
    tracker = _track(tmp_path, "online")
    server.failure = "drop"
    for each in (trial, second):
        _report(tracker, each, range(1, 4))
    tracker._thread.submit(lambda: None).result()
    server.failure = ""
    tracker._offline_until = 0.0  # as if five minutes had passed
    _report(tracker, third, range(1, 4))
    _end(tracker, trial, second, third)
    assert capsys.readouterr().err.count("stt-tune wandb-sync") == 1
    assert set(server.runs) == {"ghi"}
    assert _sync(tmp_path) == SyncResult(("abc", "def"), 3)
    assert set(server.runs) == {"abc", "def", "ghi"}
    assert [_steps(server, run_id) for run_id in server.runs] == [[1, 2, 3]] * 3
    assert _sync(tmp_path) == SyncResult((), 3)


def test_a_trial_that_begins_again_online_has_each_step_once_and_nothing_is_left_to_upload(
    server: WandbServer, tmp_path: Path, trial: Trial
) -> None:
    first = _track(tmp_path, "online")
    _report(first, trial, range(1, 3))
    first.on_experiment_end([])
    second = _track(tmp_path, "online")
    _report(second, trial, range(1, 4))
    _end(second, trial)
    assert _steps(server, "abc") == [1, 2, 3]
    assert _sync(tmp_path) == SyncResult((), 1)


def test_a_run_that_is_synced_looks_the_same_as_one_that_was_online(
    server: WandbServer, tmp_path: Path, trial: Trial
) -> None:
    for mode in ("online", "offline"):
        tracker = _track(tmp_path / mode, mode)
        (tmp_path / mode).mkdir()
        _report(tracker, trial, range(1, 4))
        _end(tracker, trial)
        if mode == "offline":
            online = server.runs.pop("abc")
            assert _sync(tmp_path / mode).uploaded == ("abc",)
    synced = server.runs["abc"]
    for run in (online, synced):
        run.config.pop("_wandb")
        run.config["trial_log_path"] = {}
        run.summary.pop("_wandb")
        for row in (*run.history, run.summary):
            row.pop("_timestamp")
            row.pop("_runtime")
    assert synced.config == online.config
    assert synced.history == online.history
    assert synced.summary == online.summary
    assert (synced.tags, synced.exit_code) == (online.tags, online.exit_code)
    for name in ("groupName", "displayName", "project"):
        assert synced.asked.get(name) == online.asked.get(name)


def test_a_function_that_logs_by_itself_goes_on_without_wandb(
    server: WandbServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_INIT_TIMEOUT", "1")
    identity = build_identity("online", folder=tmp_path, project="p", group="g", tags=())
    function = WandbFunction(identity, "abc", "trial-000", {}, {}, "wer", Reporter(lambda _metrics: None, "wer"))
    quiet = {"silent": True}  # or W&B would ask for ten seconds who is logged in
    server.failure = "drop"
    with function.followed():
        with wandb.init(settings=quiet) as run:
            run.log({"wer": 0.5})
        server.failure = ""
        with wandb.init(settings=quiet) as run:
            run.log({"wer": 0.4})
    assert "W&B: it cannot be reached (Timed out" in capsys.readouterr().err
    assert _sync(tmp_path) == SyncResult(("abc",), 1)
    assert [(row["_step"], row["wer"]) for row in server.runs["abc"].history] == [(0, 0.5), (1, 0.4)]


def test_an_upload_that_ended_early_goes_on(server: WandbServer, tmp_path: Path) -> None:
    for run_id in ("good", "bad"):
        with wandb.init(project="p", id=run_id, mode="offline", dir=tmp_path) as run:
            run.log({"wer": 0.5})
    server.refused = {"bad"}
    with pytest.raises(WandbSyncError, match=r"1 of 2 are not \(.*\)\. What was uploaded is marked; the same again"):
        _sync(tmp_path)
    server.refused = set()
    assert _sync(tmp_path) == SyncResult(("bad",), 2)
    assert set(server.runs) == {"good", "bad"}


def test_uploading_needs_runs_a_key_and_wandb_within_reach(
    server: WandbServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingsError, match="must hold W&B runs, in wandb/, and has none"):
        sync_wandb(tmp_path)
    _make_file(tmp_path / "wandb", "offline-run-20260101_000000-a", "a")
    server.failure = "401"
    with pytest.raises(WandbError, match=r"must be within reach to upload runs, and is not \(.*401.*later, the"):
        sync_wandb(tmp_path)
    monkeypatch.delenv("WANDB_API_KEY")
    monkeypatch.setenv("HOME", str(tmp_path))
    wandb.teardown()
    with pytest.raises(SettingsError, match="a key must be configured to upload runs, and there is none"):
        sync_wandb(tmp_path)
    (tmp_path / "run.json").touch()
    with FileLock(tmp_path / ".lock"), pytest.raises(SettingsError, match="another one runs it"):
        sync_wandb(tmp_path)


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    for name in ("wandb", ".lock"):  # a lock that no user, root included, can open
        (tmp_path / name).mkdir()
    (tmp_path / "run.json").touch()
    with pytest.raises(SettingsError, match=rf"{tmp_path}: must be a folder that can be written \(Is a directory\)"):
        sync_wandb(tmp_path)


def _make_file(folder: Path, directory: str, run_id: str, size: int = 8) -> Path:
    path = folder / directory / f"run-{run_id}.wandb"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"0" * size)
    return path


def test_the_last_start_of_each_run_counts_with_what_it_continues(tmp_path: Path) -> None:
    _make_file(tmp_path, "offline-run-20260101_000000-a", "a")
    _make_file(tmp_path, "run-20260101_000002-a", "a")
    last = _make_file(tmp_path, "offline-run-20260101_000002-a-1", "a")
    _make_file(tmp_path, "offline-run-20260101_000003-a", "a", size=7)  # its process was killed at once
    (_make_file(tmp_path, "run-20260101_000000-b-2", "b-2").parent / "never-begun").touch()
    fallback = _make_file(tmp_path, "offline-run-20260101_000000-b-2-offline", "b-2-offline")
    _make_file(tmp_path, "run-20260101_000000-c", "c")
    parts = [_make_file(tmp_path, f"run-20260101_00000{i}-c", "c") for i in (1, 2)]
    mark_continuing(parts[1].parent)
    (tmp_path / "latest-run").symlink_to(last.parent)
    synced_mark(last).touch()
    runs = {run[0].run_id: run for run in find_runs(tmp_path)}
    assert {run_id: [file.path for file in run] for run_id, run in runs.items()} == {
        "a": [last],
        "b-2": [fallback],
        "c": parts,
    }
    assert runs["a"][0].is_uploaded
    assert runs["b-2"][0].is_fallback


def test_a_sweep_ends_well_without_wandb_and_the_key_is_written_nowhere(
    ray_session: None, server: WandbServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command_lines = set()

    def fail_after_the_first_trial() -> None:
        command_lines.update(path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists())
        if any(run.exit_code is not None for run in server.runs.values()):
            server.failure = "401"

    server.before_answer = fail_after_the_first_trial
    table = synthetic.run(tmp_path, synthetic.slow, trials=2, wandb_mode="online")
    assert [trial.status for trial in table.trials] == ["completed"] * 2
    server.before_answer, server.failure = (lambda: None), ""
    assert _sync(tmp_path) == SyncResult((table.trials[1].trial_id,), 2)
    for trial in table.trials:
        run = server.runs[trial.trial_id]
        assert [row["epoch"] for row in run.history] == [report["epoch"] for report in trial.reports]
        assert run.summary["status"] == trial.status
    out, err = capfd.readouterr()
    assert "later, this uploads what is missing" in err
    secret = KEY.encode()
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 10
    assert not [path for path in written if secret in path.read_bytes()]
    assert secret not in server.received
    assert any(b"wandb-core" in line for line in command_lines)
    assert not [line for line in command_lines if secret in line]
    assert KEY not in out + err
