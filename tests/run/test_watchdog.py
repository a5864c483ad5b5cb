"""Trials that hang."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from stt_tune.errors import SettingsError
from stt_tune.run import faults
from stt_tune.run.reporting import report
from stt_tune.run.settings import TuneSettings
from stt_tune.run.sweep import run_sweep

_SWEEP = {"method": "grid", "metric": {"name": "wer"}, "parameters": {"case": {"values": [1, 2, 3, 4]}}}


def _hang_in_two(config: dict[str, Any]) -> None:
    for epoch in range(1, 4):
        time.sleep(0.5)
        report(epoch=epoch, wer=config["case"] / epoch)
        if config["case"] == 2:
            time.sleep(1000)


@pytest.mark.usefixtures("ray_session")
@pytest.mark.slow
def test_a_trial_that_hangs_is_ended_and_the_others_go_on(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faults, "MOST_LOSSES", 2)
    result = run_sweep(
        _SWEEP, _hang_in_two, storage_path=tmp_path / "run", trial_timeout_s=4, wandb_mode="disabled", scheduler="none"
    )
    statuses = {trial.configuration["case"]: trial.status for trial in result.table.trials}
    assert statuses == {1: "completed", 2: "failed", 3: "completed", 4: "completed"}
    hung = next(trial for trial in result.table.trials if trial.status == "failed")
    assert hung.error == "it reported nothing for 4 s and was ended"
    assert len(hung.reports) == 1
    assert "failed: it reported nothing for 4 s" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("name", "option", "found"),
    [
        ("trial_timeout_s", "--trial-timeout", -1),
        ("trial_timeout_s", "--trial-timeout", 0),
        ("time_budget_s", "--time-budget", 0),
        ("max_concurrent", "--max-concurrent", 0),
        ("audio_context_s", "--audio-context", 0),
    ],
)
def test_a_limit_that_is_none_is_refused(name: str, option: str, found: int) -> None:
    with pytest.raises(SettingsError, match=f"{option} must be .*, found {found}"):
        TuneSettings("d", "tiny.en", **{name: found})  # type: ignore[arg-type]
