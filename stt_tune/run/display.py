"""Show how far a sweep is while it runs."""

from __future__ import annotations

import html
import math
import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.text import Text

from stt_tune.progress import say
from stt_tune.results.trials import FAILED, INTERRUPTED, Trial, TrialTable
from stt_tune.run.live_table import lay_out
from stt_tune.run.rendering import format_metric
from stt_tune.run.spent import Spent
from stt_tune.run.standing import Standing
from stt_tune.sweep.metric import Metric

# The table is drawn so seldom, and never for more than this share of the time.
_DRAW_EVERY_S = 1.0
_SHARE = 0.005
_NOTEBOOK = (100, 30)  # columns and lines of a table there


class Place(Protocol):
    """Where a table is drawn again and again."""

    @property
    def size(self) -> tuple[int, int]:
        """Its columns and lines."""

    def draw(self, lines: Sequence[str]) -> None:
        """Show these lines in the place of those before."""

    def close(self) -> None:
        """Draw no more."""


class Terminal:
    """The bottom of a terminal; what else is said appears above."""

    def __init__(self, console: Console) -> None:
        """Begin to draw on `console`."""
        # no thread draws: it would meet the table while trials are entered
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._live.start()

    @property
    def size(self) -> tuple[int, int]:
        """As it is now: windows change."""
        return self._live.console.width, self._live.console.height

    def draw(self, lines: Sequence[str]) -> None:
        """Show these lines in the place of those before."""
        self._live.update(Text("\n".join(lines), no_wrap=True, overflow="crop"), refresh=True)

    def close(self) -> None:
        """Wipe the table away: the trials are printed at the end."""
        self._live.stop()


class Notebook:
    """An output of the cell that runs the sweep; rich's own would need ipywidgets."""

    def __init__(self) -> None:
        """Begin an output."""
        from IPython.display import display

        self._handle = display(_as_output([]), raw=True, display_id=True)

    @property
    def size(self) -> tuple[int, int]:
        """What a cell shows without bars to scroll."""
        return _NOTEBOOK

    def draw(self, lines: Sequence[str]) -> None:
        """Show these lines in the place of those before."""
        self._handle.update(_as_output(lines), raw=True)

    def close(self) -> None:
        """Leave the table as it is."""


def _as_output(lines: Sequence[str]) -> dict[str, str]:
    text = "\n".join(lines)
    return {"text/plain": text, "text/html": f'<pre style="white-space: pre">{html.escape(text)}</pre>'}


def find_place() -> Place | None:
    """Where a table can be drawn: a notebook, a terminal; None: nowhere, so that there are lines instead."""
    console = Console(stderr=True)
    if console.is_jupyter:
        return Notebook()
    return Terminal(console) if sys.stderr.isatty() and not console.is_dumb_terminal else None


class SweepDisplay:
    """Live progress: a table in a terminal or notebook; elsewhere, on stderr, a line for what each trial reports."""

    def __init__(
        self, metric: Metric, num_trials: int, limit_s: float | None = None, *, in_lines: bool = False
    ) -> None:
        """Set up the display of a sweep.

        Args:
            metric: What is shown of each trial.
            num_trials: How many the sweep has in all.
            limit_s: What the sweep may take, in seconds, over all its starts.
            in_lines: Draw no table, wherever this is.
        """
        self._metric = metric
        self._num_trials = num_trials
        self._limit_s = limit_s
        self._in_lines = in_lines
        self._spent = Spent()
        self._table: TrialTable | None = None
        self._told: dict[str, str] = {}
        self._due_at = 0.0
        self._place: Place | None = None

    def __enter__(self) -> SweepDisplay:
        """Begin to show."""
        self._place = None if self._in_lines else find_place()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop showing."""
        if self._place:
            self._draw(self._place)
            self._place.close()

    def update(self, table: TrialTable, trial: Trial) -> None:
        """Show the table's state after a change to `trial`."""
        self._table = table
        # one that diverges has its status from the report on that shows it, and ends after that
        is_told = self._told.get(trial.trial_id) == trial.status != INTERRUPTED
        self._told[trial.trial_id] = trial.status
        if is_told:
            return
        if self._place:
            if trial.status == FAILED:
                say(f"trial {trial.number} failed: {trial.error}")
        elif trial.status != INTERRUPTED:
            say(f"trial {trial.number} {trial.status}{self._describe(trial)} | {self._summarise(table)}")
        elif trial.reports:
            say(f"trial {trial.number} epoch {trial.last_epoch}{self._describe(trial)}")

    def refresh(self, spent: Spent) -> None:
        """Draw the table anew where that is due; called all the time.

        Args:
            spent: What the sweep has cost, over all its starts.
        """
        self._spent = spent
        if self._place and time.monotonic() >= self._due_at:
            self._draw(self._place)

    def _draw(self, place: Place) -> None:
        begun = time.monotonic()
        if self._table is not None:
            place.draw(lay_out(self._standing(self._table), *place.size))
        ended = time.monotonic()
        self._due_at = ended + max(_DRAW_EVERY_S, (ended - begun) / _SHARE)

    def _standing(self, table: TrialTable) -> Standing:
        return Standing(table, self._metric, self._num_trials, self._spent, self._limit_s)

    def _describe(self, trial: Trial) -> str:
        if trial.status == FAILED:
            return f": {trial.error}"
        last = trial.last(self._metric.name)
        return f": {self._metric.name} {format_metric(last)}" if math.isfinite(last) else ""

    def _summarise(self, table: TrialTable) -> str:
        standing = self._standing(table)
        return "; ".join((standing.describe_trials(), standing.describe_best(), standing.describe_time()))
