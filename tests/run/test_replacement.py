"""The last step of a re-tune: what there is to do where it could not be done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stt_tune.errors import SettingsError
from stt_tune.results.optimal_config import publish, read_optimal_config, save_config
from stt_tune.results.trials import TrialTable
from stt_tune.run import tune as tune_module
from stt_tune.run.folder import HAS_CONCLUDED, SETTINGS, RunFolder
from stt_tune.run.resume import resume
from stt_tune.run.settings import TuneSettings
from stt_tune.run.status import read_status
from stt_tune.run.tune import _finish
from stt_tune.sweep.config import SweepConfig
from tests.run.trials import make_trial
from tests.run.wandb_folder import HELD_OUT

_SWEEP = {"method": "random", "name": "s", "metric": {"name": "wer"}, "parameters": {"dropout": {"min": 0.0, "max": 1}}}
_FOUND: dict[str, Any] = {
    "hyperparameters": {"learning_rate": 2e-5},
    "decision": "winner",
    "winner": {"number": 1},
    "held_out": {
        **HELD_OUT,
        "compared_with": "incumbent",
        "systems": [{"role": "candidate", "name": "trial 1"}],
        "wer": 0.1,
        "incumbent_wer": 0.2,
        "relative_gain": 0.5,
        "interval": [0.3, 0.6],
        "p_value": 0.001,
    },
}


@pytest.fixture
def production(tmp_path: Path) -> Path:
    path = tmp_path / "production.json"
    publish({"hyperparameters": {"learning_rate": 1e-5}}, path)
    return path


@pytest.fixture
def settings(production: Path) -> TuneSettings:
    return TuneSettings(
        data="d", model="tiny.en", trials=2, default={"learning_rate": 1e-5}, retunes=str(production), min_gain=0.05
    )


@pytest.fixture
def unconcluded(tmp_path: Path, settings: TuneSettings) -> RunFolder:
    """A re-tune that has written its result, and nothing after that."""
    folder = RunFolder(tmp_path / "my runs" / "re-tune")
    folder.start(SweepConfig.from_dict(_SWEEP), 0, None, {SETTINGS: settings.to_dict(), HAS_CONCLUDED: False})
    trials = (make_trial(0, "completed", 0.5), make_trial(1, "completed", 0.4))
    TrialTable(("wer",), trials).save(folder.trials)
    save_config(folder.optimal_config, _FOUND["hyperparameters"])
    publish(_FOUND, folder.optimal_config)
    return folder


def test_a_re_tune_comes_to_the_shared_file_before_it_waits_for_wandb(
    unconcluded: RunFolder, settings: TuneSettings, production: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_folder: RunFolder) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(tune_module, "show_result", interrupt)
    with pytest.raises(KeyboardInterrupt):
        _finish(unconcluded, _FOUND, settings)
    assert read_optimal_config(production)["hyperparameters"] == {"learning_rate": 2e-5}
    assert unconcluded.how_to_go_on() == f"It is finished: see {unconcluded.optimal_config}"


def test_a_re_tune_whose_last_step_is_missing_names_the_command_that_does_it(
    unconcluded: RunFolder, settings: TuneSettings, production: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[Any] = []
    monkeypatch.setattr(tune_module, "show_result", shown.append)
    told = f"Its last step is missing, which is that of the shared file: stt-tune resume '{unconcluded.path}'"
    found = read_status(unconcluded.path)
    assert (found.state, found.next) == ("finished", told)
    kept = production.read_bytes()
    production.unlink()
    production.mkdir()
    with pytest.raises(OSError, match=f"production.json: .*\n{told}$"):
        _finish(unconcluded, _FOUND, settings)
    assert shown == [unconcluded]
    with pytest.raises(SettingsError, match=f"must not be a finished re-tune, which has been decided.*\n{told}$"):
        resume(unconcluded.path, trials=9)
    production.rmdir()
    production.write_bytes(kept)
    result = resume(unconcluded.path)
    assert result.replacement
    assert result.replacement.replaced
    assert read_optimal_config(production)["hyperparameters"] == {"learning_rate": 2e-5}
    assert "It is finished: see" in read_status(unconcluded.path).next
