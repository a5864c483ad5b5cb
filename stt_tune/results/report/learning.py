"""How did learning go?"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd

from stt_tune.results.plots.curves import plot_best_so_far, plot_learning_curves
from stt_tune.results.report.blocks import Figure, Section, plain, rate
from stt_tune.results.report.importance import Surrogate
from stt_tune.results.report.record import CONFIG, RunRecord
from stt_tune.results.trials import COMPLETED, DIVERGED

QUESTION = "How did learning go?"


def answer_learning(record: RunRecord, surrogate: Surrogate | None) -> Section:
    """Curves with the rungs of early stopping, and the best so far against random search's expectation."""
    if not record.reports["epoch"].notna().any():
        return Section(QUESTION, ("No trial has reported anything.",))
    parts = [_draw_curves(record)]
    if not record.completed.empty:
        parts.append(_draw_search(record, surrogate))
    return Section(QUESTION, tuple(_describe(record)), tuple(parts))


def _describe(record: RunRecord) -> Iterator[str]:
    best, default = record.best, record.default
    if best is None:
        yield "No trial was completed, so no curve leads to a result."
    else:
        values = [value for value in best.values(record.metric) if math.isfinite(value)]
        sign = 1 if record.mode == "min" else -1
        peak = int(np.argmin(sign * np.array(values))) + 1
        yield (
            f"Trial {best.number}, the best one, went from {rate(values[0])} after its first epoch to "
            f"{rate(values[-1])} after its last, the {best.last_epoch}."
            + (f" It had its best value in report {peak}." if peak < len(values) else "")
        )
        if default and not best.is_default:
            yield f"The default ended at {rate(default.last(record.metric))}."
    if diverged := record.table.counts()[DIVERGED]:
        numbers = [str(each.number) for each in record.table.trials if each.status == DIVERGED]
        shown = ", ".join(numbers[:20]) + (" and others" if diverged > 20 else "")
        yield f"{diverged} trials diverged: {shown}."


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
            record.reports, record.column, rungs, best.number if best and not best.is_default else None
        ),
    )


def _draw_search(record: RunRecord, surrogate: Surrogate | None) -> Figure:
    expected, how = expect_random_search(record, surrogate)
    best = record.best
    told = f"After {len(record.trials)} trials the best is {rate(best.last(record.metric) if best else None)}. "
    if len(expected):
        told += f"Random search is expected to have {rate(expected[-1])} by then{how}."
    else:
        told += "What random search would have is not known from so few trials."
    plot = plot_best_so_far(record.trials, record.column, record.mode, expected)
    return Figure("best_so_far", "Best so far", told, plot)


def expect_random_search(record: RunRecord, surrogate: Surrogate | None) -> tuple[np.ndarray, str]:
    """What random search is expected to have after 1, 2, ... trials, and how that is known.

    The first trial is the default's, where the sweep has one. A trial that is stopped early improves nothing.

    Source: Dodge et al. 2019, "Show Your Work": the expected best of n draws from an empirical distribution.
    """
    sign = 1 if record.mode == "min" else -1
    default, drawn = record.default, record.trials[~record.trials["is_default"]]
    if not record.draws:
        done = (drawn["status"] == COMPLETED) & drawn[record.column].map(math.isfinite)
        values = np.where(done, sign * drawn[record.column], np.inf)
        how = ", by the distribution of its own trials, which are such draws"
    elif surrogate is not None:
        frame = pd.DataFrame([{f"{CONFIG}{name}": each for name, each in draw.items()} for draw in record.draws])
        values = sign * surrogate.draw(frame)
        how = ", by the model of the trials that importance comes from"
    else:
        return np.array([]), ""
    start = sign * default.last(record.metric) if default else None
    count = len(record.trials)
    if not np.isfinite(values).any() or count < 2:
        return np.array([]), ""
    if start is None:  # what improves nothing is no better than the worst that has an end
        start, count = float(values[np.isfinite(values)].max()), count + 1
        return sign * _expect_best(np.minimum(values, start), count)[1:], how
    return sign * _expect_best(np.minimum(values, start), count, start), how


def _expect_best(values: np.ndarray, count: int, start: float | None = None) -> np.ndarray:
    """The expected least of 0, 1, ... `count` - 1 draws; of none it is `start`, or the greatest value."""
    values = np.sort(values)
    shares = np.arange(len(values) + 1) / len(values)
    draws = np.arange(1, count)[:, None]
    weights = (1 - shares[None, :-1]) ** draws - (1 - shares[None, 1:]) ** draws
    return np.concatenate([[values[-1] if start is None else start], weights @ values])
