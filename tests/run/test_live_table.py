from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from stt_tune.results.trials import STATUSES, TrialTable
from stt_tune.run.live_table import lay_out
from stt_tune.run.spent import Spent
from stt_tune.run.standing import Standing
from stt_tune.sweep.metric import Metric
from tests.run.trials import make_trial


def _stand(trials: int, **configuration: object) -> Standing:
    """A sweep in which the last four trials run, and number 1 is the best."""
    ended = [
        make_trial(i, STATUSES[i % 4] if i > 1 else "completed", 0.1 + 0.01 * ((i + 97) % 98), **configuration)
        for i in range(trials - 4)
    ]
    running = [make_trial(i, "interrupted", 0.5, **configuration) for i in range(trials - 4, trials)]
    return Standing(TrialTable(("wer",), [*ended, *running]), Metric(), 2 * trials, Spent(7200, 14400, trials - 4))


def test_a_sweep_of_the_usual_hyperparameters_is_shown_whole() -> None:
    lines = lay_out(_stand(8), 80, 24)
    assert lines[2:5] == [
        "trial     status    epochs    wer  size dropout steps     rate  ratio  decay",
        "0 default completed  12/12 1.0700     8       0     1  0.00012  0.063 0.0059",
        "1 *       completed  12/12 0.1000    16   0.012     2  0.00025   0.13  0.012",
    ]
    assert lines[-3:] == [
        "4 of 16 trials done (2 completed, 1 diverged, 1 failed, 4 running)",
        "best wer 0.1000, default's 1.0700",
        "2.0 h spent (4.0 GPU hours), about 6.0 h of trials left",
    ]


@given(
    names=st.lists(st.text(min_size=1, max_size=60), min_size=1, max_size=12, unique=True),
    value=st.one_of(st.text(max_size=100), st.floats(), st.integers()),
    trials=st.integers(4, 300),
)
def test_no_line_is_wider_than_the_place_whatever_is_shown(names: list[str], value: object, trials: int) -> None:
    standing = _stand(trials)
    standing.table.trials[0].configuration = dict.fromkeys(names, value)
    for width, height in ((80, 24), (40, 10)):
        lines = lay_out(standing, width, height)
        assert max(map(cell_len, lines)) <= width
        assert all(line.isprintable() for line in lines)
        console = Console(file=io.StringIO(), force_terminal=True, record=True, width=width)
        console.print(Text("\n".join(lines)))  # would break what is too wide
        assert len(console.export_text().splitlines()) == len(lines)


def test_of_hundreds_of_trials_those_are_shown_that_tell_most() -> None:
    lines = lay_out(_stand(400), 80, 24)
    assert len(lines) <= 24
    rows = [line.split()[0] for line in lines if " 12/12 " in line]
    assert rows[:2] == ["0", "1"]  # the default, and the best
    assert rows[-4:] == ["396", "397", "398", "399"]
    assert [line.split()[1] for line in lines if " 12/12 " in line][-4:] == ["running"] * 4
    assert f"not shown: {400 - len(rows)} trials" in lines
    assert lines[-2] == "best wer 0.1000, default's 1.0700"
    assert lines[-1] == "2.0 h spent (4.0 GPU hours), about 2.0 h of trials left"


def test_parameters_that_find_no_room_are_counted() -> None:
    lines = lay_out(_stand(8), 60, 24)
    assert any(line.startswith("not shown: ") and "parameters" in line for line in lines)
