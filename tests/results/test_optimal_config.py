from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from stt_tune.errors import SettingsError
from stt_tune.results.optimal_config import load_config, save_config, update_optimal_config

_PARAMS = {"learning_rate": 1.2512345678901234e-5, "batch_size": 16, "optimizer": {"name": "adamw"}}


def test_hyperparameters_survive_the_file(tmp_path: Path) -> None:
    path = tmp_path / "shared" / "optimal_config.json"
    save_config(path, _PARAMS)
    assert load_config(path) == _PARAMS
    (event,) = json.loads(path.read_text())["history"]
    assert {"at", "by", "event"} <= set(event)


def test_an_update_keeps_what_was_there_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    update_optimal_config(_PARAMS)
    update_optimal_config({**_PARAMS, "batch_size": 8})
    assert load_config("optimal_config.json")["batch_size"] == 8
    saved, replaced = json.loads(Path("optimal_config.json").read_text())["history"]
    assert (saved["event"], replaced["event"]) == ("saved", "replaced")
    assert replaced["before"]["hyperparameters"] == _PARAMS


@pytest.mark.parametrize("content", [None, "{", "[]", "{}", '{"hyperparameters": 3}', '{"hyperparameters": {}}'])
def test_a_file_that_cannot_be_trained_with_is_refused(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "optimal_config.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SettingsError, match=f"{path}: "):
        load_config(path)


@pytest.mark.parametrize("bad", [{}, {"learning_rate": math.nan}, {"learning_rate": object()}])
def test_what_cannot_be_written_leaves_the_old_file_whole(tmp_path: Path, bad: dict[str, object]) -> None:
    path = tmp_path / "optimal_config.json"
    save_config(path, _PARAMS)
    before = path.read_bytes()
    for write in (save_config, lambda path, params: update_optimal_config(params, path)):
        with pytest.raises(SettingsError, match="hyperparameters: must"):
            write(path, bad)
        assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["optimal_config.json"]
