"""How did learning go?"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from stt_tune.results.plots.curves import plot_best_so_far, plot_learning_curves
from stt_tune.results.report.blocks import Figure, Section, plain, rate
from stt_tune.results.report.random_search import expect_random_search
from stt_tune.results.report.record import RunRecord
from stt_tune.results.trials import DIVERGED

QUESTION = "How did learning go?"
_MOST_NUMBERS = 20


def answer_learning(record: RunRecord) -> Section:
    """Curves with the rungs of early stopping, and the best so far against random search's expectation."""
    if not record.reports["epoch"].notna().any():
        return Section(QUESTION, ("No trial has reported anything.",))
    parts = [_draw_curves(record)]
    if not record.completed.empty:
        parts.append(_draw_search(record))
    return Section(QUESTION, tuple(_describe(record)), tuple(parts))


def _describe(record: RunRecord) -> Iterator[str]:
    best, default = record.best, record.default
    if best is None:
        yield "No trial was completed, so no curve leads to a result."
    else:
        values = [value for value in best.values(record.metric) if math.isfinite(value)]
        sign = 1 if record.mode == "min" else -1
        peak = int(np.argmin(sign * np.array(values)))
        yield (
            f"Trial {best.number}, the best one, went from {rate(values[0])} after its first epoch to "
            f"{rate(values[-1])} after its last, of {best.last_epoch}."
            + (f" Its best value, {rate(values[peak])}, came before." if values[peak] != values[-1] else "")
        )
        if default and not best.is_default:
            yield f"The default ended at {rate(default.last(record.metric))}."
    if diverged := [str(each.number) for each in record.table.trials if each.status == DIVERGED]:
        more = f" and {len(diverged) - _MOST_NUMBERS} others" if len(diverged) > _MOST_NUMBERS else ""
        yield f"Trials that diverged: {', '.join(diverged[:_MOST_NUMBERS])}{more}."


def _draw_curves(record: RunRecord) -> Figure:
    best = record.best
    last = record.reports["epoch"].max()
    longest = max(record.rungs.values(), key=lambda rungs: rungs[-1] if rungs else 0, default=())
    rungs = [epoch for epoch in dict.fromkeys(longest) if epoch <= last]
    where = f" Dotted lines are rungs, after epoch {', '.join(map(str, rungs))} of the longest trials." if rungs else ""
    return Figure(
        "learning_curves",
        "Learning curves",
        f"{plain(record.metric)} on dev after each epoch, of {record.reports['number'].nunique()} trials. Grey ones "
        f"were stopped early.{where}",
        plot_learning_curves(
            record.reports, record.column, rungs, best.number if best and not best.is_default else None, record.mode
        ),
    )


def _draw_search(record: RunRecord) -> Figure:
    expected = expect_random_search(record)
    best = record.best
    told = f"After {len(record.trials)} trials the best is {rate(best.last(record.metric) if best else None)}. "
    if len(expected):
        told += f"Random search is expected to have {rate(expected[-1])} by then, if each of its draws gave what " + (
            "the nearest of these trials gave." if record.draws else "these trials gave, which are such draws."
        )
    else:
        told += "What random search would have is not known."
    plot = plot_best_so_far(record.trials, record.column, record.mode, expected)
    return Figure("best_so_far", "Best so far", told, plot)
