from __future__ import annotations

import json
import logging
import os
import threading
from enum import Enum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stt_tune import training_callback
from stt_tune.errors import SettingsError
from stt_tune.results import production
from stt_tune.results.merging import MergedConfig
from stt_tune.results.optimal_config import publish, save_config


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "optimal_config.json"
    own = {"hyperparameters": {"epochs": 3, "learning_rate": 3e-5}}
    publish({"hyperparameters": {"epochs": 5, "learning_rate": 1e-5}, "by_error_type": {"deletion": own}}, path)
    return path


def _train(job: Any, params: MergedConfig) -> tuple[Any, dict[str, Any], dict[str, str]]:
    return job, dict(params), params.sources


def test_explicit_parameters_win_over_the_optimal_ones(config: Path) -> None:
    train = training_callback(_train, config)
    job, params, sources = train("job", {"epochs": 7, "save_steps": 10})
    assert job == "job"
    assert params == {"epochs": 7, "learning_rate": 1e-5, "save_steps": 10}
    assert sources == {"epochs": "explicit", "learning_rate": "optimal_config", "save_steps": "explicit"}
    assert train("job")[1] == {"epochs": 5, "learning_rate": 1e-5}


@pytest.mark.parametrize(
    ("job", "epochs"),
    [
        ({"error_type": "deletion"}, 3),
        (SimpleNamespace(error_type="deletion"), 3),
        (SimpleNamespace(error_type=Enum("Kind", {"DELETION": "deletion"}).DELETION), 3),
        ({"error_type": "insertion"}, 5),
        ({"error_type": None}, 5),
        (SimpleNamespace(), 5),
    ],
)
def test_a_job_about_one_kind_of_error_gets_its_own_configuration(config: Path, job: Any, epochs: int) -> None:
    assert training_callback(_train, config)(job, {})[1]["epochs"] == epochs
    assert training_callback(_train, config, error_type="deletion")({}, {})[1]["epochs"] == 3


@pytest.mark.parametrize("content", [None, "{", '{"hyperparameters": {"epochs": 0}}'])
def test_a_missing_or_bad_file_fails_no_job(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: str | None
) -> None:
    path = tmp_path / "optimal_config.json"
    if content:
        path.write_text(content)
    with caplog.at_level(logging.WARNING, "stt_tune"):
        assert training_callback(_train, path)("job", {"epochs": 7})[1] == {"epochs": 7}
        with_default = training_callback(_train, path, default={"epochs": 2, "dropout": 0.0})
        assert with_default("job", {"dropout": 0.1})[1] == {"epochs": 2, "dropout": 0.1}
        assert with_default("job", {"dropout": 0.1})[2] == {"epochs": "default", "dropout": "explicit"}
    assert len(caplog.records) == 3
    assert str(path) in caplog.text
    with pytest.raises(SettingsError, match=str(path)):
        training_callback(_train, path, strict=True)("job", {})


def test_a_job_of_an_unknown_kind_of_error_gets_the_general_configuration(config: Path) -> None:
    assert training_callback(_train, config)({"error_type": "typo"})[1] == {"epochs": 5, "learning_rate": 1e-5}
    with pytest.raises(SettingsError, match="error_type: must be one of"):
        training_callback(_train, config, error_type="typo")
    with pytest.raises(SettingsError, match="error_type: must be one of"):
        training_callback(_train, config, strict=True)({"error_type": "typo"})


def test_a_job_that_changes_its_parameters_changes_no_others(tmp_path: Path) -> None:
    path = tmp_path / "optimal_config.json"
    save_config(path, {"optimizer": {"lr": 1.0}})

    def train(_job: Any, params: MergedConfig) -> float:
        params["optimizer"]["lr"] *= 10
        return float(params["optimizer"]["lr"])

    callback = training_callback(train, path)
    assert [callback("job"), callback("job")] == [10.0, 10.0]


def test_what_training_raises_is_the_callers(config: Path) -> None:
    def fail(_job: Any, _params: MergedConfig) -> None:
        raise SettingsError("of the training itself")

    with pytest.raises(SettingsError, match="of the training itself"):
        training_callback(fail, config)("job")


def test_the_file_is_read_once_and_again_when_it_has_changed(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = []
    real = production.read_optimal_config
    monkeypatch.setattr(production, "read_optimal_config", lambda path: reads.append(path) or real(path))
    train = training_callback(_train, config)
    threads = [threading.Thread(target=train, args=("job",)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(reads) == 1
    # of the same size and within the same second
    save_config(config, {"epochs": 6, "learning_rate": 1e-5})
    assert train("job")[1]["epochs"] == 6
    assert len(reads) == 2
    config.unlink()
    assert train("job")[1] == {}
    config.write_text(json.dumps({"hyperparameters": {"epochs": 9}}))
    assert train("job")[1] == {"epochs": 9}


def test_a_relative_path_is_the_callers(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(config.parent)
    train = training_callback(_train)
    os.chdir("/")
    assert train("job")[1]["epochs"] == 5
