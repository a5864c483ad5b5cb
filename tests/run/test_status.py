from __future__ import annotations

import json
import re
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import fsspec
import pytest

from stt_tune.errors import SettingsError
from stt_tune.files import write_json
from stt_tune.results.optimal_config import save_config
from stt_tune.results.trials import Trial, TrialTable
from stt_tune.run import lease
from stt_tune.run.folder import HAS_SEARCHED, SETTINGS, RunFolder
from stt_tune.run.settings import TuneSettings
from stt_tune.run.spent import Spent
from stt_tune.run.status import read_status
from stt_tune.sweep.config import SweepConfig
from tests.run.trials import make_trial

_SWEEP = {"method": "random", "name": "s", "metric": {"name": "wer"}, "parameters": {"dropout": {"min": 0.0, "max": 1}}}
_TUNED = {SETTINGS: TuneSettings(data="d.jsonl", model="tiny.en", trials=4, time_budget_s=500).to_dict()}


def _make(path: Path, *trials: Trial, facts: dict[str, Any] | None = None) -> RunFolder:
    folder = RunFolder(path)
    sweep = SweepConfig.from_dict(_SWEEP)
    folder.start(sweep, 0, None, _TUNED if facts is None else facts)
    if trials:
        TrialTable(("wer",), trials).save(folder.trials)
    write_json(folder.spent, Spent(100, 7200, 2).to_dict())
    return folder


_TWO = (make_trial(0, "completed", 0.5), make_trial(1, "stopped_early", 0.6), make_trial(2, "interrupted", 0.4))
_FOUR = (*_TWO[:2], make_trial(2, "completed", 0.25), make_trial(3, "failed", 0.4))


def test_a_run_that_goes_on_says_how_far_it_is(tmp_path: Path) -> None:
    folder = _make(tmp_path, *_TWO)
    with folder.locked():
        found = read_status(tmp_path)
    assert found.describe()[1:] == [
        "State:   running",
        "Trials:  2 of 4 trials done (1 completed, 1 stopped early, 1 running)",
        "On dev:  best wer 0.5000, default's 0.5000",
        "Time:    2 min spent (2.0 GPU hours), about 2 min of trials left",
    ]
    document = json.loads(json.dumps(found.to_dict()))
    assert (document["run"], document["state"], document["next"]) == (str(tmp_path), "running", "")
    assert (document["trials"]["running"], document["left_s"], document["gpu_hours"]) == (1, 100, 2)


def test_a_run_whose_driver_is_gone_says_how_to_go_on(tmp_path: Path) -> None:
    _make(tmp_path, *_TWO)
    found = read_status(f"file://{tmp_path}")
    assert found.state == "interrupted"
    assert found.describe()[2].endswith("1 interrupted)")
    assert found.next == f"Continue with: stt-tune resume {tmp_path}"


def test_an_upload_to_wandb_is_not_taken_for_a_run_that_goes_on(tmp_path: Path) -> None:
    folder = _make(tmp_path, *_TWO)
    with folder.locked_to_upload():
        found = read_status(tmp_path)
        assert not folder.is_locked
    assert (found.state, found.next) == ("interrupted", f"Continue with: stt-tune resume {tmp_path}")
    with folder.locked():
        assert read_status(tmp_path).state == "running"


def test_what_is_to_be_typed_holds_for_paths_with_spaces_too(tmp_path: Path) -> None:
    folder = _make(tmp_path / "my runs", *_TWO)
    assert read_status(folder.path).next == f"Continue with: stt-tune resume '{folder.path}'"
    save_config(folder.optimal_config, {"learning_rate": 1e-4})
    assert read_status(folder.path).next.endswith(f"refine or confirm '{folder.path}'")


def test_a_run_that_has_begun_and_has_no_trial_yet(tmp_path: Path) -> None:
    folder = _make(tmp_path)
    folder.spent.unlink()
    with folder.locked():
        found = read_status(tmp_path)
    assert found.describe()[1:] == ["State:   running", "Trials:  0 of 4 trials done", "On dev:  no result yet"]


def test_a_run_whose_trials_have_ended_confirms_or_was_interrupted_then(tmp_path: Path) -> None:
    folder = _make(tmp_path, *_FOUR)
    with folder.locked():
        assert read_status(tmp_path).state == "confirming"
    assert read_status(tmp_path).state == "interrupted"


def test_a_run_that_a_budget_has_ended_confirms_with_fewer_trials(tmp_path: Path) -> None:
    folder = _make(tmp_path, *_FOUR[:2])
    folder.note(**{HAS_SEARCHED: True})
    with folder.locked():
        assert read_status(tmp_path).state == "confirming"


def test_a_finished_run_names_its_result_whoever_works_in_it(tmp_path: Path) -> None:
    folder = _make(tmp_path, *_FOUR)
    save_config(folder.optimal_config, {"learning_rate": 1e-4})
    with folder.locked():
        assert read_status(tmp_path).state == "finished"
    found = read_status(tmp_path).next
    assert found.startswith(f"It is finished: see {folder.optimal_config}")
    assert found.endswith(f"More: stt-tune resume (with --trials), refine or confirm {tmp_path}")


def test_a_finished_re_tune_is_not_to_be_resumed(tmp_path: Path) -> None:
    folder = _make(tmp_path, *_FOUR, facts={SETTINGS: {**_TUNED[SETTINGS], "retunes": "/shared/optimal_config.json"}})
    save_config(folder.optimal_config, {"learning_rate": 1e-4})
    assert read_status(tmp_path).next.endswith(f"More: stt-tune refine or confirm {tmp_path}")


def test_a_run_without_a_completed_trial_has_failed(tmp_path: Path) -> None:
    _make(tmp_path, *(make_trial(i, "failed", 0.5) for i in range(4)))
    found = read_status(tmp_path)
    assert found.state == "failed"
    assert f"see why in {tmp_path / 'errors'}" in found.next


def test_a_sweep_of_ones_own_training_is_finished_with_its_trials(tmp_path: Path) -> None:
    facts = {"num_trials": 4}
    _make(tmp_path / "a", *_FOUR, facts=facts)
    assert read_status(tmp_path / "a").state == "finished"
    told = f"It is finished: load_trials('{tmp_path / 'a'}') gives its trials."
    assert read_status(tmp_path / "a").next == told
    with pytest.raises(
        SettingsError, match=re.escape(f"must not hold a run yet, and does. Name another folder.\n{told}")
    ):
        RunFolder(tmp_path / "a").check_new()
    _make(tmp_path / "b", *_TWO, facts=facts)
    found = read_status(tmp_path / "b")
    assert found.state == "interrupted"
    assert "run_sweep(..., resume=True)" in found.next


def test_a_sweep_of_ones_own_training_that_has_ended_by_itself_was_not_interrupted(tmp_path: Path) -> None:
    failed = tuple(make_trial(i, "failed", 0.5) for i in range(2))
    for name, trials, state in (("some", _TWO, "finished"), ("failed", failed, "failed"), ("none", (), "interrupted")):
        folder = _make(tmp_path / name, *trials, facts={"num_trials": 4})
        with folder.searching():
            assert read_status(folder.path).state == "interrupted"  # nobody drives it
        assert read_status(folder.path).state == state
    with pytest.raises(KeyboardInterrupt), folder.searching():
        raise KeyboardInterrupt
    assert read_status(folder.path).state == "interrupted"


def test_looking_changes_nothing_and_keeps_nobody_out(tmp_path: Path) -> None:
    folder = _make(tmp_path, *_TWO)
    with folder.locked():
        pass

    def stamp() -> dict[str, int]:
        return {path.name: path.stat().st_mtime_ns for path in (tmp_path, *tmp_path.iterdir())}

    before, ended = stamp(), threading.Event()

    def look() -> None:
        while not ended.is_set():
            read_status(tmp_path)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        for _ in range(50):
            with folder.locked():
                pass
    finally:
        ended.set()
        looking.join()
    assert stamp() == before


def test_a_lock_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    folder = _make(tmp_path, *_TWO)
    folder.lock.mkdir()
    with pytest.raises(SettingsError, match=r"\.lock: must be readable, to see whether the run goes on"):
        read_status(tmp_path)


@pytest.mark.parametrize("name", ["none", "empty", "foreign"])
def test_what_is_no_run_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "run.json").write_text("{}")
    with pytest.raises(SettingsError, match=f"{name}: must be the folder of a run, with run.json and sweep.yaml"):
        read_status(tmp_path / name)
    with pytest.raises(SettingsError, match="memory://none/run: must be the folder of a run"):
        read_status("memory://none/run/")


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("run.json", "must be the run.json of a run"),
        ("trials.parquet", "must be a trial table"),
        ("spent.json", "must say what the sweep has spent"),
    ],
)
def test_a_damaged_file_is_told(tmp_path: Path, file: str, message: str) -> None:
    _make(tmp_path, *_TWO)
    (tmp_path / file).write_text("[")
    with pytest.raises(SettingsError, match=f"{file}: {message}"):
        read_status(tmp_path)


def _put(folder: RunFolder, url: str) -> None:
    system, root = fsspec.url_to_fs(url)
    for path in folder.path.iterdir():
        system.pipe_file(f"{root}/{path.name}", path.read_bytes())


def test_a_run_at_a_url_is_driven_by_who_says_so_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("_LEFT_S", 1.0), ("_LOOK_EVERY_S", 0.05)):
        monkeypatch.setattr(lease, name, seconds)
    url = f"memory://{tmp_path.name}/run"
    _put(_make(tmp_path, *_TWO), url)
    found = read_status(url)
    assert (found.state, found.location, found.next) == ("interrupted", url, f"Continue with: stt-tune resume {url}")

    system, root = fsspec.url_to_fs(url)
    held = {"driver": "a", "host": "elsewhere", "pid": 1}

    def beat(number: int) -> None:
        system.pipe_file(f"{root}/{lease.LEASE}", json.dumps({**held, "beat": number}).encode())

    beat(0)
    assert read_status(url).state == "interrupted"  # a second of silence
    later = threading.Timer(0.3, beat, [1])
    later.start()
    found = read_status(url)
    later.join()
    assert found.state == "running"
    assert found.describe()[0].startswith(f"Run:     {url} (sweep s")

    dead = {"driver": "a", **lease._find_host(), "pid": _find_unused_pid()}
    system.pipe_file(f"{root}/{lease.LEASE}", json.dumps(dead).encode())
    begun = time.monotonic()
    assert read_status(url).state == "interrupted"
    assert time.monotonic() - begun < 1


def _find_unused_pid() -> int:
    with subprocess.Popen(["true"]) as process:
        pass
    return process.pid
