from __future__ import annotations

import io
import math
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from rich.cells import cell_len
from rich.console import Console

from stt_tune.progress import say
from stt_tune.results.trials import TrialTable
from stt_tune.run import display as displays
from stt_tune.run.display import SweepDisplay, Terminal
from stt_tune.run.spent import Spent
from stt_tune.sweep.metric import Metric
from tests.run.trials import make_trial

_TRIALS = (make_trial(0, "completed", 0.5), make_trial(1, "interrupted", 0.4), make_trial(2, "completed", 0.25))


def test_progress_tells_what_is_done_and_how_it_stands(capsys: pytest.CaptureFixture[str]) -> None:
    table = TrialTable(("wer",))
    with SweepDisplay(Metric(), num_trials=3) as display:
        display.refresh(Spent(seconds=120, gpu_seconds=3600, trials=2))
        for trial in _TRIALS:
            table.add(trial)
            display.update(table, trial)
    first, running, last = capsys.readouterr().err.splitlines()
    assert first.startswith("trial 0 completed: wer 0.5000 | 1 of 3 trials done (1 completed)")
    assert running == "trial 1 epoch 12: wer 0.4000"
    assert "2 of 3 trials done (2 completed, 1 running); best wer 0.2500, default's 0.5000" in last
    assert last.endswith("; 2 min spent (1.0 GPU hours), about 60 s of trials left")


def test_the_end_of_a_trial_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    trial = make_trial(1, "diverged", math.nan)
    table = TrialTable(("wer",), [trial])
    with SweepDisplay(Metric(), num_trials=3) as display:
        display.update(table, trial)  # its last report
        display.update(table, trial)  # its end
    assert capsys.readouterr().err == "trial 1 diverged | 1 of 3 trials done (1 diverged); no result yet; 0 s spent\n"


def _draw_in(monkeypatch: pytest.MonkeyPatch, console: Console) -> None:
    monkeypatch.setattr(displays, "find_place", lambda: Terminal(console))


def test_a_terminal_shows_a_table_that_fits_and_what_is_said_above_it(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    _draw_in(monkeypatch, Console(file=screen, force_terminal=True, width=80, height=24))
    table = TrialTable(("wer",))
    with SweepDisplay(Metric(), num_trials=300) as display:
        for number in range(200):
            table.add(make_trial(number, "failed" if number == 7 else "completed", 0.5))
            table.trials[-1].error = "it said [red]"
            display.update(table, table.trials[-1])
        say("a word")
        display.refresh(Spent(60, 0, 200))
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue()).replace("\r", "\n").split("\n")
    assert max(map(cell_len, lines)) <= 80
    assert "a word" in lines
    assert "trial 7 failed: it said [red]" in lines
    assert "200 of 300 trials done (199 completed, 1 failed)" in lines
    assert "60 s spent, about 30 s of trials left" in lines


def test_a_table_is_drawn_once_a_second_and_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, drawn = [100.0], []
    monkeypatch.setattr("stt_tune.run.display.time.monotonic", lambda: clock[0])
    _draw_in(monkeypatch, Console(file=io.StringIO(), force_terminal=True, width=80))
    monkeypatch.setattr(Terminal, "draw", lambda _place, lines: drawn.append(lines))
    table = TrialTable(("wer",), _TRIALS)
    with SweepDisplay(Metric(), num_trials=3) as display:
        for _ in range(100):
            display.update(table, table.trials[1])
            display.refresh(Spent())
            clock[0] += 0.05
        assert len(drawn) == 5
    assert len(drawn) == 6


def test_a_table_that_takes_long_to_draw_is_drawn_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, drawn = [100.0], []
    monkeypatch.setattr("stt_tune.run.display.time.monotonic", lambda: clock[0])
    _draw_in(monkeypatch, Console(file=io.StringIO(), force_terminal=True, width=80))

    def draw(_place: Terminal, lines: list[str]) -> None:
        drawn.append(lines)
        clock[0] += 0.1

    monkeypatch.setattr(Terminal, "draw", draw)
    table = TrialTable(("wer",), _TRIALS)
    with SweepDisplay(Metric(), num_trials=3) as display:
        display.update(table, table.trials[1])
        begun = clock[0]
        while clock[0] < begun + 100:
            display.refresh(Spent())
            clock[0] += 0.5
    assert 4 <= len(drawn) <= 7  # 0.1 s of every 20


@pytest.mark.parametrize("terminal", ["xterm", "dumb"])
def test_only_a_terminal_that_can_be_drawn_in_is(monkeypatch: pytest.MonkeyPatch, terminal: str) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setenv("TERM", terminal)
    place = displays.find_place()
    if place:
        place.close()
    assert (place is None) is (terminal == "dumb")


_SWEEP = """
from stt_tune import report, run_sweep

def train(config):
    report({{"epoch": 1, "wer": config["x"]}})

sweep = {{"method": "random", "metric": {{"name": "wer"}}, "parameters": {{"x": {{"min": 0.1, "max": 0.9}}}}}}
run_sweep(sweep, train, num_trials=2, storage_path={path!r}, wandb_mode="disabled");
"""


def test_a_sweep_in_a_notebook_leaves_its_table_there(tmp_path: Path) -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(_SWEEP.format(path=str(tmp_path / "run")))])
    NotebookClient(notebook, timeout=120).execute()
    (output,) = (each for each in notebook.cells[0].outputs if each.output_type == "display_data")
    assert "2 of 2 trials done (2 completed)" in output.data["text/plain"]


_CELL = """
from stt_tune.results.trials import TrialTable
from stt_tune.run.display import SweepDisplay
from stt_tune.run.spent import Spent
from stt_tune.sweep.metric import Metric
from tests.run.trials import make_trial

table = TrialTable(("wer",))
with SweepDisplay(Metric(), num_trials=3) as display:
    for trial in (make_trial(0, "completed", 0.5, kind="<b>"), make_trial(1, "completed", 0.25, kind="c")):
        table.add(trial)
        display.update(table, trial)
        display.refresh(Spent(40, 0, len(table.trials)))
"""


def test_a_notebook_shows_the_table_in_one_output(pytestconfig: pytest.Config) -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(_CELL)])
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(pytestconfig.rootpath)}}).execute()
    (output,) = notebook.cells[0].outputs
    assert "2 of 3 trials done (2 completed)" in output.data["text/plain"]
    assert "best wer 0.2500, default's 0.5000" in output.data["text/html"].replace("&#x27;", "'")
    assert "&lt;b&gt;" in output.data["text/html"]
