"""Whom the files that are written may be read by."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from stt_tune.files import write_atomically, write_text
from stt_tune.speech.model import load_model
from stt_tune.speech.packaged import PACKAGED_MODEL
from stt_tune.speech.saved import save_model


@pytest.fixture(params=[0o077, 0o022, 0o002], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def _read_mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_new_files_are_as_private_as_the_umask_says(umask: int, tmp_path: Path) -> None:
    path, model = tmp_path / "manifest.jsonl", load_model(PACKAGED_MODEL)
    write_text(path, "a transcript")
    assert _read_mode(path) == 0o666 & ~umask
    save_model(model.build(), model, tmp_path / "saved")
    assert {_read_mode(each) for each in (tmp_path / "saved").iterdir()} == {0o666 & ~umask}


@pytest.mark.parametrize("mode", [0o600, 0o440, 0o664])
def test_files_that_are_replaced_keep_their_permissions(umask: int, mode: int, tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    path.write_text("")
    path.chmod(mode)
    write_text(path, "a transcript")
    assert (path.read_text(), _read_mode(path)) == ("a transcript", mode)
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_a_full_disk_is_told_by_the_file_that_was_to_be_written(tmp_path: Path) -> None:
    def fill(temporary: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # as writing to an open file does, which names none

    with pytest.raises(OSError, match="No space left") as told:
        write_atomically(tmp_path / "answer.json", fill)
    assert told.value.filename == str(tmp_path / "answer.json")
    assert list(tmp_path.iterdir()) == []
