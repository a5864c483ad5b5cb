"""Replay a sweep in a moment: the searcher and the scheduler of real sweeps, with a clock that is made up."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from stt_tune.results.trials import COMPLETED, STOPPED_EARLY, Trial, TrialTable
from stt_tune.run.trials import observe
from stt_tune.sweep.config import SweepConfig
from stt_tune.sweep.nesting import flatten
from stt_tune.sweep.samplers import Sampler
from stt_tune.sweep.scheduler import EarlyStopping, build_scheduler
from stt_tune.sweep.searcher import SweepSearcher

Configuration = Mapping[str, Any]


def replay_sweep(
    sweep: SweepConfig,
    sampler: Sampler,
    measure: Callable[[Configuration], Sequence[float]],
    *,
    default: Configuration,
    trials: int,
    scheduler: str,
    parallel: int = 1,
    table: TrialTable | None = None,
) -> TrialTable:
    """Run a sweep of which every epoch takes the same time.

    Args:
        sweep: What is searched.
        sampler: Chooses configurations.
        measure: Gives a configuration's value of the metric after each of its epochs.
        default: The configuration of trial 0.
        trials: How many the table holds in the end.
        scheduler: One of `SCHEDULERS`.
        parallel: Trials at a time.
        table: Trials of an earlier sweep, which this one goes on from.
    """
    table = TrialTable((sweep.metric.name,)) if table is None else table
    searcher = SweepSearcher(
        sweep,
        sampler,
        dict.fromkeys(range(len(table.trials), trials)),
        observe=lambda: observe(sweep, table, running=searcher.numbers.values()),
        default=default,
        complete=lambda drawn: {**default, **drawn},
    )
    stopping = build_scheduler(scheduler, sweep, default, searcher.is_default)
    for trial in table.ended():
        stopping.replay(trial.trial_id, trial.configuration, trial.reports)
    ids = (f"{i:05d}" for i in itertools.count(len(table.trials)))
    running: list[tuple[int, str]] = []

    def start(now: int) -> None:
        trial_id = next(ids)
        configuration = searcher.suggest(trial_id)
        if isinstance(configuration, Mapping):
            number = searcher.numbers[trial_id]
            table.add(Trial(trial_id, number, searcher.is_default(trial_id), flatten(configuration)))
            heapq.heappush(running, (now + 1, trial_id))

    for _worker in range(parallel):
        start(now=0)
    while running:
        now, trial_id = heapq.heappop(running)
        if _report(table.get(trial_id), measure, stopping, sweep):
            start(now)
        else:
            heapq.heappush(running, (now + 1, trial_id))
    return table


def _report(
    trial: Trial, measure: Callable[[Configuration], Sequence[float]], stopping: EarlyStopping, sweep: SweepConfig
) -> bool:
    """Let a trial report its next epoch, and say whether it has ended."""
    configuration = sweep.nest(trial.configuration)
    curve, epoch = measure(configuration), len(trial.reports) + 1
    report = {"epoch": epoch, sweep.metric.name: curve[epoch - 1]}
    trial.reports.append(report)
    stopping.on_trial_result(None, SimpleNamespace(trial_id=trial.trial_id, config=configuration), report)  # type: ignore[arg-type]
    if trial.trial_id in stopping.stopped:
        trial.status = STOPPED_EARLY
    elif epoch == len(curve):
        trial.status = COMPLETED
    return trial.status in (STOPPED_EARLY, COMPLETED)
