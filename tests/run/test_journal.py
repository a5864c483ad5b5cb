"""What a trial keeps to go on after a fault."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fsspec
import pytest

from stt_tune.errors import StorageError
from stt_tune.run import patience
from stt_tune.run.journal import Journal, forget_journals


def _report(epoch: int, **more: Any) -> dict[str, Any]:
    return {"epoch": epoch, "wer": 1 / epoch, "seconds": 10.0 * epoch, **more}


def test_what_was_told_is_told_again_and_an_epoch_that_is_trained_again_is_not(tmp_path: Path) -> None:
    first = Journal(str(tmp_path / "t"))
    assert [first.enter(_report(epoch)) for epoch in (1, 2)] == [_report(1), _report(2)]
    second, told = Journal(str(tmp_path / "t")), list[Mapping[str, Any]]()
    second.tell_again(told.append)
    assert told == [_report(1), _report(2)]
    assert second.enter(_report(2)) is None
    assert second.enter({**_report(3), "seconds": 5.0}) == {**_report(3), "seconds": 25.0}
    assert [each["epoch"] for each in Journal(str(tmp_path / "t")).reports] == [1, 2, 3]


def test_a_training_that_diverged_is_at_its_end(tmp_path: Path) -> None:
    Journal(str(tmp_path)).enter(_report(1, diverged=False))
    assert not Journal(str(tmp_path)).is_at_end
    Journal(str(tmp_path)).enter({**_report(2), "wer": float("nan"), "diverged": True})
    assert Journal(str(tmp_path)).is_at_end


def test_a_damaged_journal_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "reports.json").write_text('[{"epoch": 1')
    assert Journal(str(tmp_path)).reports == []


def test_without_a_folder_nothing_is_kept() -> None:
    journal = Journal(None)
    assert journal.enter(_report(1)) == _report(1)


def test_journals_of_trials_that_have_ended_are_deleted(tmp_path: Path) -> None:
    for name in ("ended", "interrupted"):
        Journal(str(tmp_path / name)).enter(_report(1))
    forget_journals(str(tmp_path), ["ended", "none"])
    assert [path.name for path in tmp_path.iterdir()] == ["interrupted"]


def test_at_a_url_reports_and_the_newest_checkpoint_go_to_the_next_attempt_wherever_it_runs() -> None:
    place = "memory://journals/t"
    first = Journal(place)
    assert first.folder is not None
    for epoch in (1, 2):
        first.enter(_report(epoch))
        checkpoint = first.folder / f"checkpoint-{epoch}"
        checkpoint.mkdir()
        (checkpoint / "weights").write_text(f"of epoch {epoch}")
        first.keep(checkpoint)
    second = Journal(place)
    assert second.folder not in (None, first.folder)
    assert [each["epoch"] for each in second.reports] == [1, 2]
    assert [path.name for path in (second.folder or Path()).glob("checkpoint-*")] == ["checkpoint-2"]
    assert ((second.folder or Path()) / "checkpoint-2" / "weights").read_text() == "of epoch 2"
    forget_journals("memory://journals", ["t"])
    assert Journal(place).reports == []


def _killed_worker(place: str) -> Path:
    """The temporary folder of a worker that was killed with a checkpoint in it."""
    script = f"""
import os, signal
from stt_tune.run.journal import Journal
journal = Journal({place!r})
(journal.folder / "weights").write_text("of epoch 1")
print(journal.folder, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    return Path(subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout.strip())


def test_what_a_killed_worker_leaves_on_its_machine_goes_with_the_next_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left = _killed_worker("memory://journals/killed")
    assert (left / "weights").is_file()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "lock").touch()
    (tmp_path / "stt_tune-journal-link").symlink_to(elsewhere)
    running = Journal("memory://journals/running")
    assert not left.exists()
    other = Journal("memory://journals/other")
    assert all((each.folder or left).is_dir() for each in (running, other))
    assert (elsewhere / "lock").is_file()
    monkeypatch.setattr(os, "getuid", lambda: elsewhere.stat().st_uid + 1)
    left = _killed_worker("memory://journals/killed")
    Journal("memory://journals/of-another-user")
    assert left.is_dir()


def test_a_checkpoint_that_is_called_out_of_its_folder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "PATIENCE_S", 0.0)
    place, name = "memory://journals/named", f"{tmp_path}/taken"
    system, root = fsspec.url_to_fs(place)
    system.pipe_file(f"{root}/newest", name.encode())
    system.pipe_file(f"{root}/{name}", b"not ours")
    with pytest.raises(StorageError, match=f"{place}: must hold files whose names lie in it, found '{name}'"):
        Journal(place)
    assert list(tmp_path.iterdir()) == []
