from __future__ import annotations

import pytest
from rich.console import Console

from stt_tune.results.trials import Trial, TrialTable
from stt_tune.run.display import SweepDisplay, render_trials
from stt_tune.sweep.metric import Metric


def _trial(number: int, status: str, wer: float) -> Trial:
    configuration = {
        "learning_rate": 0.000123 * (number + 1),
        "batch_size": 8 * (number + 1),
        "epochs": 12,
        "warmup_ratio": 0.0634 * (number + 1),
        "weight_decay": 0.00586 * (number + 1),
        "dropout": 0.0118 * number,
        "gradient_accumulation_steps": number + 1,
    }
    return Trial(f"id{number}", number, number == 0, configuration, status, reports=[{"epoch": 12, "wer": wer}])


def test_a_table_of_all_seven_hyperparameters_fits_80_columns() -> None:
    table = TrialTable(("wer",), [_trial(0, "completed", 0.25), _trial(1, "stopped_early", 1.125)])
    console = Console(width=80)
    with console.capture() as captured:
        console.print(render_trials(table, Metric()))
    lines = captured.get().splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert lines[-2].split() == "0 default * completed 12/12 0.2500 8 0 1 0.00012 0.063 0.0059".split()  # noqa: SIM905
    assert lines[-1].split() == "1 stopped 12/12 1.1250 16 0.012 2 0.00025 0.13 0.012".split()  # noqa: SIM905


def test_values_of_any_kind_can_be_shown() -> None:
    table = TrialTable(("wer",), [_trial(0, "completed", 0.25), _trial(1, "completed", 0.5)])
    for trial, value in zip(table.trials, ([1], {"a": 2}), strict=True):
        trial.configuration = {**trial.configuration, "layers": value}
    console = Console(width=200)
    with console.capture() as captured:
        console.print(render_trials(table, Metric()))
    assert "{'a': 2}" in captured.get()


def test_progress_tells_what_is_done_and_how_it_stands(capsys: pytest.CaptureFixture[str]) -> None:
    table = TrialTable(("wer",))
    with SweepDisplay(Metric(), num_trials=3) as display:
        for trial in (_trial(0, "completed", 0.5), _trial(1, "interrupted", 0.4), _trial(2, "completed", 0.25)):
            table.add(trial)
            display.update(table, trial)
    first, running, last = capsys.readouterr().err.splitlines()
    assert first.startswith("trial 0 completed: wer 0.5000 | 1 of 3 trials done (1 completed)")
    assert running == "trial 1 epoch 12: wer 0.4000"
    assert "2 of 3 trials done (2 completed, 1 running); best wer 0.2500, default's 0.5000" in last
