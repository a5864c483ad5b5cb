"""A sweep's trials read from W&B: the real client against a server on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import wandb

import stt_tune
from stt_tune.errors import SettingsError, WandbError
from stt_tune.results.trials import INTERRUPTED
from stt_tune.run.sweep import run_sweep
from tests.run import synthetic
from tests.wandb_server import WandbServer, serving


@pytest.fixture(scope="module")
def server() -> Iterator[WandbServer]:
    with serving() as server:
        yield server


@pytest.fixture(scope="module")
def run(ray_session: None, server: WandbServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep that logs online, with a nested hyperparameter."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    nested = {"parameters": {"name": {"values": ["adam", "sgd"]}}}
    run_sweep(
        {**synthetic.SWEEP, "project": "p", "parameters": {**synthetic.SWEEP["parameters"], "optimiser": nested}},
        synthetic.falling,
        num_trials=3,
        default={**synthetic.DEFAULT, "optimiser": {"name": "adam"}},
        storage_path=folder,
        wandb_mode="online",
        max_concurrent_trials=1,
    )
    return folder


def test_trials_from_wandb_are_those_of_the_run_folder(run: Path) -> None:
    for load in (stt_tune.load_reports, stt_tune.load_trials):
        here, there = load(run), load("wandb:someone/p/synthetic")
        shared = [name for name in here if name not in ("error", "retries")]  # only the folder knows these
        assert there[shared].equals(here[shared])
        assert {"config.learning_rate", "config.optimiser.name", "wer"} <= set(shared)


def test_a_run_that_a_function_has_logged_by_itself_has_its_rows_numbered(server: WandbServer, tmp_path: Path) -> None:
    config = {"learning_rate": 0.5, "hostname": "here"}
    about = {"project": "p", "group": "own", "name": "trial-000", "config": config, "dir": tmp_path}
    with wandb.init(**about, settings={"silent": True, "console": "off", "x_disable_stats": True}) as run:
        for epoch in range(2):
            run.log({"train_loss": 1.0})
            run.log({"epoch": epoch, "wer": 0.5 / (epoch + 1), "note": "text"})
    reports = stt_tune.load_reports("wandb:someone/p/own")
    assert reports["epoch"].tolist() == [1, 2, 3, 4]
    assert reports["wer"].dropna().tolist() == [0.5, 0.25]
    assert reports["status"].tolist() == [INTERRUPTED] * 4  # nobody has said how it ended
    assert "note" not in reports
    assert "config.hostname" not in reports


@pytest.mark.parametrize("place", ["p/synthetic", "someone//synthetic", ""])
def test_what_is_no_place_is_refused(place: str) -> None:
    with pytest.raises(SettingsError, match=r"must be wandb:ENTITY/PROJECT/GROUP"):
        stt_tune.load_trials(f"wandb:{place}")


def test_a_group_without_trials_is_refused(server: WandbServer) -> None:
    with pytest.raises(SettingsError, match=r"p/none: must hold the runs of a sweep's trials .*, and has none"):
        stt_tune.load_trials("wandb:someone/p/none")


def test_wandb_that_refuses_is_told(server: WandbServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "refused_operations", {"Runs"})
    with pytest.raises(WandbError, match=r"must be a sweep that W&B lets us read, and is not \(this is not taken\)"):
        stt_tune.load_trials("wandb:someone/p/synthetic")
