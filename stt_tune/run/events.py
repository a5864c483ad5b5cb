"""Tell machines what happens in a sweep while it happens: `--json-lines`.

Every event is an object with `event`, `time` (ISO 8601, UTC) and `run` (path or URL), and

- `sweep_started`: `sweep`, `metric`, `goal`, `num_trials`, `done` (trials that an earlier start ended);
- `trial_started`: `trial` (its number), `trial_id`, `is_default`, `configuration` (by dotted names), `retries` (how
  often it was begun again after a fault; each time is told);
- `report`: `trial`, `trial_id`, `epoch`, `metrics` by name, as in `trials.parquet`;
- `trial_ended`: `trial`, `trial_id`, `status` (as in `trials.parquet`), `epoch` (the last), `value` (of the metric, as
  last reported), `error`;
- `sweep_ended`: `outcome` (`finished`, `interrupted` or `failed`), `error`, and how it stands: `Standing.to_dict`;
- `result`, last, where the verb ends well: `result`, which is what `--json` prints.

What is no finite number is null.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import replace
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TextIO

from stt_tune.errors import SweepInterruptedError
from stt_tune.progress import say
from stt_tune.results.trials import INTERRUPTED, Trial, TrialTable
from stt_tune.run.spent import Spent
from stt_tune.run.standing import Standing
from stt_tune.sweep.config import SweepConfig

Listener = Callable[[Mapping[str, Any]], None]

# as with stderr, whoever runs a sweep, however deep, finds it
_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextlib.contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Have `listener` called with every event of the sweeps that run inside the block."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def is_heard() -> bool:
    """Whether anyone listens."""
    return _listener.get() is not None


def tell(event: str, run: str, **fields: Any) -> None:
    """Tell of an event, if anyone listens."""
    listener = _listener.get()
    if listener is not None:
        listener({"event": event, "time": datetime.now(UTC).isoformat(timespec="milliseconds"), "run": run, **fields})


class JsonLines:
    """Writes each event as a line of JSON, at once."""

    def __init__(self, stream: TextIO) -> None:
        """Write to `stream`."""
        self._stream = stream
        self._is_read = True

    def write(self, event: Mapping[str, Any]) -> None:
        """Write an event; that nobody reads any more is told once, and is no reason to end a sweep."""
        if not self._is_read:
            return
        try:
            self._stream.write(to_line(event))
            self._stream.flush()
        except BrokenPipeError:
            self._is_read = False
            say("nobody reads the JSON lines any more: the sweep goes on without them")
            # else Python would try to write the rest when it exits, and fail
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())


def to_line(document: Mapping[str, Any]) -> str:
    r"""A line of JSON, in which what is no finite number is null.

    >>> to_line({"wer": math.nan, "name": "größer"})
    '{"wer": null, "name": "größer"}\n'
    """
    return json.dumps(_make_plain(document), ensure_ascii=False, allow_nan=False, default=str) + "\n"


def _make_plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _make_plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_make_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class SweepEvents:
    """Finds out from the trial table what has happened, and tells of it."""

    def __init__(self, run: str, sweep: SweepConfig, standing: Standing) -> None:
        """Set up the events of a sweep.

        Args:
            run: The path or URL of its folder.
            sweep: What is searched.
            standing: How it stands before it starts; its table is the one that will be kept up to date.
        """
        self._run, self._sweep, self._standing = run, sweep, standing
        self._spent = standing.spent
        self._epochs = {trial.trial_id: trial.last_epoch for trial in standing.table.trials}
        self._retries: dict[str, int] = {}
        self._ended: set[str] = set()

    def __enter__(self) -> SweepEvents:
        """Tell that the sweep starts."""
        metric, standing = self._sweep.metric, self._standing
        counts = {"num_trials": standing.num_trials, "done": standing.done}
        self._tell("sweep_started", sweep=self._sweep.name, metric=metric.name, goal=metric.goal, **counts)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Tell how trials that are cut short, and the sweep, have ended."""
        for trial in self._standing.table.trials:
            if trial.trial_id in self._retries and trial.trial_id not in self._ended:
                self._tell_end(trial)
        is_interrupted = isinstance(error, SweepInterruptedError | KeyboardInterrupt)
        outcome = "interrupted" if is_interrupted else "failed" if error else "finished"
        now = replace(self._standing, spent=self._spent, unfinished=INTERRUPTED)
        self._tell("sweep_ended", outcome=outcome, error=str(error) if error else None, **now.to_dict())

    def refresh(self, spent: Spent) -> None:
        """Take note of what the sweep has cost."""
        self._spent = spent

    def update(self, _table: TrialTable, trial: Trial) -> None:
        """Tell what has happened to `trial`."""
        if self._retries.get(trial.trial_id) != trial.retries:
            self._retries[trial.trial_id] = trial.retries
            start = {"is_default": trial.is_default, "configuration": trial.configuration, "retries": trial.retries}
            self._tell_of(trial, "trial_started", **start)
        told = self._epochs.get(trial.trial_id, 0)
        new = [report for report in trial.reports if report["epoch"] > told]
        for report in new:
            metrics = {name: value for name, value in report.items() if name != "epoch"}
            self._tell_of(trial, "report", epoch=report["epoch"], metrics=metrics)
        self._epochs[trial.trial_id] = trial.last_epoch
        # one that diverges has its status before it ends, from the report on that shows it
        if not new and trial.status != INTERRUPTED and trial.trial_id not in self._ended:
            self._tell_end(trial)

    def _tell_end(self, trial: Trial) -> None:
        self._ended.add(trial.trial_id)
        value = trial.last(self._sweep.metric.name)
        how = {"status": trial.status, "epoch": trial.last_epoch, "value": value, "error": trial.error}
        self._tell_of(trial, "trial_ended", **how)

    def _tell_of(self, trial: Trial, event: str, **fields: Any) -> None:
        self._tell(event, trial=trial.number, trial_id=trial.trial_id, **fields)

    def _tell(self, event: str, **fields: Any) -> None:
        tell(event, self._run, **fields)
