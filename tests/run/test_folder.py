"""Where a run may begin, and what is told where it may not."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest

from stt_tune.errors import SettingsError
from stt_tune.files import write_json
from stt_tune.run.folder import RunFolder
from stt_tune.run.places import MIRRORED
from stt_tune.run.settings import locate_model
from stt_tune.speech.rows import check_there, read_rows


@pytest.mark.parametrize("name", ["models", "best_model", "best_model_ctranslate2", "checkpoints", "trials.parquet"])
def test_a_run_does_not_begin_where_it_would_take_what_is_the_users_for_its_own(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "mine").touch()
    with pytest.raises(
        SettingsError, match=rf"must not hold anything that a run .* and holds {re.escape(name)}\. Name"
    ):
        RunFolder(tmp_path).check_new()


@pytest.mark.parametrize("look", [RunFolder.check_new, RunFolder.check_existing], ids=["new", "existing"])
def test_a_folder_that_may_not_be_looked_at_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, look: Callable[[RunFolder], None]
) -> None:
    def refuse(path: Path, **_options: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    with pytest.raises(SettingsError, match=r"must be a path that can be looked at, .* \(File name too long\)"):
        look(RunFolder(tmp_path / ("long" * 100)))
    monkeypatch.setattr(Path, "stat", refuse)
    with pytest.raises(SettingsError, match=r"run\.json: must be a path .* \(Permission denied\)"):
        look(RunFolder(tmp_path))


def test_sources_and_models_that_cannot_be_looked_at_are_told() -> None:
    for ask in (check_there, read_rows, locate_model):
        with pytest.raises(SettingsError, match=r"must be a path that can be looked at, .* \(File name too long\)"):
            ask("long" * 100)


def test_a_run_begins_beside_what_it_leaves_alone(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "wandb").mkdir()
    RunFolder(tmp_path).check_new()


def test_a_run_does_not_begin_at_a_url_that_holds_models_of_others(tmp_path: Path) -> None:
    url = f"memory://{tmp_path.name}/run"
    system, root = fsspec.url_to_fs(url)
    folder = RunFolder(tmp_path)
    write_json(tmp_path / MIRRORED, {"url": url})
    folder.check_new()
    system.pipe_file(f"{root}/models/mine/weights", b"0")
    with pytest.raises(SettingsError, match=re.escape(f"{url}: must not hold anything")):
        folder.check_new()
