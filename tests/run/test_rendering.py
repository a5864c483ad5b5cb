from __future__ import annotations

from rich.console import Console

from stt_tune.results.trials import TrialTable
from stt_tune.run.rendering import render_trials
from stt_tune.sweep.metric import Metric
from tests.run.trials import make_trial


def test_a_table_of_all_seven_hyperparameters_fits_80_columns() -> None:
    table = TrialTable(("wer",), [make_trial(0, "completed", 0.25), make_trial(1, "stopped_early", 1.125)])
    console = Console(width=80)
    with console.capture() as captured:
        console.print(render_trials(table, Metric()))
    lines = captured.get().splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert lines[-2].split() == "0 default * completed 12/12 0.2500 8 0 1 0.00012 0.063 0.0059".split()  # noqa: SIM905
    assert lines[-1].split() == "1 stopped 12/12 1.1250 16 0.012 2 0.00025 0.13 0.012".split()  # noqa: SIM905


def test_values_of_any_kind_can_be_shown() -> None:
    table = TrialTable(
        ("wer",), [make_trial(0, "completed", 0.25, layers=[1]), make_trial(1, "completed", 0.5, layers={"a": 2})]
    )
    console = Console(width=200)
    with console.capture() as captured:
        console.print(render_trials(table, Metric()))
    assert "{'a': 2}" in captured.get()
