"""What random search would have found in as many trials."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from stt_tune.results.frames import trials_frame
from stt_tune.results.report.encoding import Encoding
from stt_tune.results.report.record import RunRecord
from stt_tune.results.trials import COMPLETED, INTERRUPTED, Trial, TrialTable


def expect_random_search(record: RunRecord) -> np.ndarray:
    """The best that random search is expected to have after 1, 2, ... trials, as many as there are; empty: not known.

    Each of its draws is given the result of the trial that lies nearest to it. So trials count as often as
    random search comes by, however often another search went there. The first trial is the default's, where the
    sweep has one, and what was stopped early, diverged or failed improves nothing.

    Source: Dodge et al. 2019, "Show Your Work": the expected best of n draws from an empirical distribution.
    """
    trials, sign = record.trials, 1 if record.mode == "min" else -1
    ended = trials[(trials["status"] != record.name_status(INTERRUPTED)) & ~trials["is_default"]]
    done = (ended["status"] == COMPLETED) & np.isfinite(ended[record.column].to_numpy(float))
    losses = np.where(done, sign * ended[record.column], np.inf)
    if not np.isfinite(losses).any():
        return np.array([])
    if record.draws:
        losses = losses[_find_nearest(record, ended)]
    if record.default is None:  # the worst that has an end stands for what improves nothing
        start, first = float(losses[np.isfinite(losses)].max(initial=-np.inf)), 1
    else:
        start, first = sign * record.default.last(record.metric), 0
    if not math.isfinite(start):
        return np.array([])
    counts = np.arange(first, first + len(trials))
    return sign * expect_best(np.minimum(losses, start), start, counts)


def expect_best(losses: np.ndarray, start: float, counts: np.ndarray) -> np.ndarray:
    """The expected least of so many draws with replacement.

    Args:
        losses: What is drawn from.
        start: Of no draw; no loss is above it.
        counts: Of draws.

    >>> expect_best(np.array([1.0, 3.0]), 3.0, np.array([0, 1, 2])).tolist()
    [3.0, 2.0, 1.5]
    """
    ascending = np.sort(losses)
    above = 1 - np.arange(len(losses) + 1) / len(losses)
    chance = above[None, :-1] ** counts[:, None] - above[None, 1:] ** counts[:, None]
    expected: np.ndarray = np.where(counts == 0, start, chance @ ascending)
    return expected


def _find_nearest(record: RunRecord, ended: pd.DataFrame) -> np.ndarray:
    """For each draw, the place of the trial that is nearest to it."""
    numbers = set(ended["number"])
    trials = [each for each in record.table.trials if each.number in numbers]
    last = max(numbers)
    drawn = [Trial(f"draw {i}", last + i, False, draw) for i, draw in enumerate(record.draws, 1)]
    frame = trials_frame(TrialTable((), [*trials, *drawn]))  # one table, which writes values of mixed types alike
    places = [np.zeros((len(frame), 1))]
    for name in record.varied:
        known = frame[name].tail(len(drawn))
        if known.notna().any():
            places.append(Encoding.of(known).place(frame[name]))
    points = np.hstack(places)
    return np.asarray(cKDTree(points[: len(ended)]).query(points[len(ended) :])[1])
