"""Show trials as a table."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.table import Table

from stt_tune.results.trials import INTERRUPTED, Trial, TrialTable
from stt_tune.sweep.metric import Metric

_SHORT_HEADINGS = {"gradient_accumulation_steps": "grad_accum_steps"}
WORDS = 2
"""How many of the columns, from the left, hold words, and not numbers."""


def render_trials(table: TrialTable, metric: Metric) -> Table:
    """The trials as a table, the best marked with a star."""
    varied = find_varied(table)
    rows = tabulate_trials(table.trials, varied, metric, table.best(metric.name, metric.mode))
    grid = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    for i, name in enumerate(name_columns(varied, metric)):
        # headings break, values do not, so that a usual sweep fits 80 columns
        grid.add_column(
            name.replace("_", "\n"),
            justify="left" if i < WORDS else "right",
            min_width=max((len(row[i]) for row in rows), default=0),
            overflow="fold",
        )
    for row in rows:
        grid.add_row(*row)
    return grid


def find_varied(table: TrialTable) -> list[str]:
    """The parameters in which trials differ, but for the epochs, which stand beside those that are done."""
    trials = table.trials
    names = sorted({name for trial in trials for name in trial.configuration} - {"epochs"})
    return [name for name in names if len({repr(trial.configuration.get(name)) for trial in trials}) > 1]


def name_columns(varied: Sequence[str], metric: Metric) -> list[str]:
    """The headings of a table of trials.

    Args:
        varied: The parameters that are shown.
        metric: The objective.
    """
    return ["trial", "status", "epochs", metric.name, *(_SHORT_HEADINGS.get(name, name) for name in varied)]


def tabulate_trials(
    trials: Sequence[Trial], varied: Sequence[str], metric: Metric, best: Trial | None, unfinished: str = INTERRUPTED
) -> list[list[str]]:
    """A row for each trial, in the order of `name_columns`.

    Args:
        trials: Those that are shown.
        varied: The parameters that are shown.
        metric: The objective.
        best: The trial that gets a star.
        unfinished: What trials without an end are called.
    """
    rows = []
    for trial in trials:
        mark = " *" if best is trial else ""
        rows.append(
            [
                f"{trial.number} default{mark}" if trial.is_default else f"{trial.number}{mark}",
                unfinished if trial.status == INTERRUPTED else trial.status.removesuffix("_early"),
                f"{trial.last_epoch}/{trial.configuration.get('epochs', '?')}",
                format_metric(trial.last(metric.name)),
                *(_short(trial.configuration.get(name)) for name in varied),
            ]
        )
    return rows


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
