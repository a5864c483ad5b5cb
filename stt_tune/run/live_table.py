"""The table of a sweep that runs: it fits its place, whatever parameters are called and however many trials there are.

Laid out by hand, as rich's own table takes eight times as long: 12 ms for 16 trials.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

from rich.cells import cell_len, chop_cells, set_cell_size

from stt_tune.results.trials import INTERRUPTED, RUNNING, Trial
from stt_tune.run.rendering import WORDS, find_varied, name_columns, tabulate_trials
from stt_tune.run.standing import Standing

_WIDEST = 12  # columns of a terminal that a value or a part of a heading may take
_TALLEST = 4  # lines of a heading, the last ones of its name
_FIRST = 4  # what is shown of every trial, before its parameters
_LEAST_ROWS = 3


def lay_out(standing: Standing, width: int, height: int) -> list[str]:
    """Lay the table out in lines, none wider than `width`, and the words on how the sweep stands below.

    Args:
        standing: The sweep.
        width: Of the place, in columns.
        height: Of the place, in lines.
    """
    below = [
        line
        for text in (standing.describe_trials(), standing.describe_best(), standing.describe_time())
        for line in textwrap.wrap(_make_printable(text), width)
    ]
    varied = find_varied(standing.table)
    headings = [_break(name) for name in name_columns(varied, standing.metric)]
    rows_left = height - max(map(len, headings)) - len(below) - 1  # a line says what is not shown
    shown = _choose(standing, max(rows_left, _LEAST_ROWS))
    rows = tabulate_trials(shown, varied, standing.metric, standing.best, RUNNING)
    lines, columns = _align(headings, [[_shorten(cell) for cell in row] for row in rows], width)
    hidden = [
        f"{count} {what}"
        for count, what in (
            (len(standing.table.trials) - len(shown), "trials"),
            (len(headings) - columns, "parameters"),
        )
        if count
    ]
    if hidden:
        lines.append(f"not shown: {', '.join(hidden)}")
    return [set_cell_size(line, width).rstrip() for line in (*lines, *below)]


def _choose(standing: Standing, most: int) -> list[Trial]:
    """The trials that tell most: the best, the default, those that run, those that began last."""
    trials = standing.table.trials
    if len(trials) <= most:
        return trials
    first = [trial for trial in (standing.best, standing.table.default()) if trial]
    running = [trial for trial in reversed(trials) if trial.status == INTERRUPTED]
    ordered = {trial.number: trial for trial in (*first, *running, *reversed(trials))}
    return sorted(list(ordered.values())[:most], key=lambda trial: trial.number)


def _align(headings: Sequence[Sequence[str]], rows: Sequence[Sequence[str]], width: int) -> tuple[list[str], int]:
    """The lines of headings and rows, and how many columns they have: as many as there is room for."""
    widths: list[int] = []
    for i, heading in enumerate(headings):
        needed = max(map(cell_len, (*heading, *(row[i] for row in rows))))
        if i >= _FIRST and sum(widths) + len(widths) + needed > width:
            break
        widths.append(needed)
    tallest = max(map(len, headings[: len(widths)]))
    above = zip(*([""] * (tallest - len(heading)) + list(heading) for heading in headings[: len(widths)]), strict=True)
    lines = [
        " ".join(_pad(cell, each, is_word=i < WORDS) for i, (cell, each) in enumerate(zip(row, widths, strict=False)))
        for row in (*above, *rows)
    ]
    return lines, len(widths)


def _pad(cell: str, width: int, *, is_word: bool) -> str:
    space = " " * (width - cell_len(cell))
    return cell + space if is_word else space + cell


def _break(heading: str) -> list[str]:
    """The lines of a heading.

    >>> _break("optimizer.learning_rate"), _break("labelsmoothingfactor")
    (['optimizer', 'learning', 'rate'], ['labelsmoothi', 'ngfactor'])
    """
    words = [word for word in re.split(r"[._/\s]+", _make_printable(heading)) if word] or ["-"]
    return [part for word in words for part in chop_cells(word, _WIDEST)][-_TALLEST:]


def _shorten(cell: str) -> str:
    """A value that is no wider than a column may be.

    >>> _shorten("constant_with_warmup")
    'constant_wi…'
    """
    text = _make_printable(cell)
    return text if cell_len(text) <= _WIDEST else set_cell_size(text, _WIDEST - 1).rstrip() + "…"


def _make_printable(text: str) -> str:
    """Without what would move the cursor."""
    return "".join(each if each.isprintable() else " " for each in text)
