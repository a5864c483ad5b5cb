"""Show a sweep: how far it is while it runs, and its trials when it is done."""

from __future__ import annotations

import math
import sys
import time
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table

from stt_tune.progress import say
from stt_tune.results.trials import COMPLETED, FAILED, INTERRUPTED, STATUSES, Trial, TrialTable
from stt_tune.sweep.metric import Metric

_SHORT_HEADINGS = {"gradient_accumulation_steps": "grad_accum_steps"}


class SweepDisplay:
    """Live progress on stderr: a table in a terminal, a line for each finished trial elsewhere."""

    def __init__(self, metric: Metric, num_trials: int, done_before: int = 0, limit_s: float | None = None) -> None:
        """Set up the display of a sweep.

        Args:
            metric: What is shown of each trial.
            num_trials: How many the sweep has in all.
            done_before: How many an earlier start finished; the time left is not reckoned from them.
            limit_s: What the sweep may take, in seconds.
        """
        self._metric = metric
        self._num_trials = num_trials
        self._start = time.monotonic()
        self._done_before = done_before
        self._limit_s = math.inf if limit_s is None else limit_s
        self._live: Live | None = None
        if sys.stderr.isatty():
            self._live = Live(console=Console(stderr=True), refresh_per_second=4, transient=True)

    def __enter__(self) -> SweepDisplay:
        """Begin to show."""
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop showing."""
        if self._live:
            self._live.stop()

    def update(self, table: TrialTable, trial: Trial) -> None:
        """Show the table's state after a change to `trial`."""
        if self._live:
            if trial.status == FAILED:
                self._live.console.print(f"trial {trial.number} failed: {trial.error}", markup=False, highlight=False)
            self._live.update(self._render(table))
        elif trial.status != INTERRUPTED:
            say(f"trial {trial.number} {trial.status}{self._describe(trial)} | {self._summary(table)}")
        elif trial.reports:
            say(f"trial {trial.number} epoch {trial.reports[-1]['epoch']}{self._describe(trial)}")

    def _describe(self, trial: Trial) -> str:
        if trial.status == FAILED:
            return f": {trial.error}"
        last = trial.last(self._metric.name)
        return f": {self._metric.name} {format_metric(last)}" if math.isfinite(last) else ""

    def _render(self, table: TrialTable) -> Table:
        grid = render_trials(table, self._metric, unfinished="running")
        grid.caption = self._summary(table)
        return grid

    def _summary(self, table: TrialTable) -> str:
        counts = table.counts()
        done = len(table.ended())
        states = ", ".join(
            f"{counts[status]} {'running' if status == INTERRUPTED else status.replace('_', ' ')}"
            for status in STATUSES
            if counts[status]
        )
        return f"{done} of {self._num_trials} trials done ({states}); {self._standing(table)}{self._left(done)}"

    def _standing(self, table: TrialTable) -> str:
        name = self._metric.name
        best, default = table.best(name, self._metric.mode), table.default()
        if best is None:
            return "no result yet"
        text = f"best {name} {format_metric(best.last(name))}"
        if default is not None and default.status == COMPLETED:
            text += f", default's {format_metric(default.last(name))}"
        return text

    def _left(self, done: int) -> str:
        finished_here = done - self._done_before
        if not finished_here:
            return ""
        elapsed = time.monotonic() - self._start
        seconds = min(elapsed / finished_here * (self._num_trials - done), self._limit_s - elapsed)
        if seconds <= 0:
            return ""
        left = f"{math.ceil(seconds / 60)} min" if seconds > 90 else f"{math.ceil(seconds)} s"
        return f"; about {left} of trials left"


def render_trials(table: TrialTable, metric: Metric, unfinished: str = INTERRUPTED) -> Table:
    """The trials as a table, the best marked with a star; those without an end are called `unfinished`."""
    best = table.best(metric.name, metric.mode)
    names = sorted({name for trial in table.trials for name in trial.configuration} - {"epochs"})
    varied = [name for name in names if len({repr(trial.configuration.get(name)) for trial in table.trials}) > 1]
    rows = []
    for trial in table.trials:
        mark = " *" if best is trial else ""
        last = trial.last(metric.name)
        rows.append(
            [
                f"{trial.number} default{mark}" if trial.is_default else f"{trial.number}{mark}",
                unfinished if trial.status == INTERRUPTED else trial.status.removesuffix("_early"),
                f"{trial.reports[-1]['epoch'] if trial.reports else 0}/{trial.configuration.get('epochs', '?')}",
                format_metric(last),
                *(_short(trial.configuration.get(name)) for name in varied),
            ]
        )
    grid = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    for i, name in enumerate(("trial", "status", "epochs", metric.name, *varied)):
        # headings break, values do not, so that a usual sweep fits 80 columns
        width = max((len(row[i]) for row in rows), default=0)
        grid.add_column(
            _SHORT_HEADINGS.get(name, name).replace("_", "\n"),
            justify="left" if i < 2 else "right",
            min_width=width,
            overflow="fold",
        )
    for row in rows:
        grid.add_row(*row)
    return grid


def format_metric(value: float) -> str:
    """A metric with four decimals, or with three digits where these would be noughts.

    >>> format_metric(0.0377), format_metric(0.0000123), format_metric(math.nan)
    ('0.0377', '1.23e-05', '-')
    """
    if not math.isfinite(value):
        return "-"
    return f"{value:.4f}" if value == 0 or abs(value) >= 0.001 else f"{value:.3g}"


def _short(value: object) -> str:
    return f"{value:.2g}" if isinstance(value, float) else "-" if value is None else str(value)
