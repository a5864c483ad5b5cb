"""The trial table: every report of every trial, kept on disk while the sweep runs."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stt_tune.errors import SettingsError
from stt_tune.files import write_atomically

COMPLETED, STOPPED_EARLY, DIVERGED, FAILED, INTERRUPTED = STATUSES = (
    "completed",
    "stopped_early",
    "diverged",
    "failed",
    "interrupted",
)
RUNNING = "running"
"""What a trial without an end is called while the sweep goes on; the table says that it is interrupted."""

CONFIG = "config."
"""What the columns of hyperparameters begin with."""

_METRIC = "metric."
_FIXED = {
    "trial_id": pa.string(),
    "number": pa.int64(),
    "status": pa.string(),
    "is_default": pa.bool_(),
    "error": pa.string(),
    "retries": pa.int64(),
    "epoch": pa.int64(),
}


@dataclass
class Trial:
    """One configuration, trained.

    Attributes:
        trial_id: Ray's and W&B's id of it.
        number: Its place in the sweep, from 0.
        is_default: Whether it trains the default configuration.
        configuration: Hyperparameters by name, nested ones with dots.
        status: One of `STATUSES`; `interrupted` until it has ended, which is the truth if nothing
            comes after.
        error: Why it failed, in one line.
        retries: How often it was begun again after a fault.
        reports: What it reported, in order: metrics by name, with `epoch`.
    """

    trial_id: str
    number: int
    is_default: bool
    configuration: Mapping[str, Any]
    status: str = INTERRUPTED
    error: str | None = None
    retries: int = 0
    reports: list[Mapping[str, Any]] = field(default_factory=list)

    def values(self, metric: str) -> list[float]:
        """The metric in every report that holds it, in order."""
        return [float(report[metric]) for report in self.reports if metric in report]

    @property
    def last_epoch(self) -> int:
        """The epoch of its last report; 0 where it has reported nothing."""
        return int(self.reports[-1]["epoch"]) if self.reports else 0

    def forget_after(self, epoch: int) -> None:
        """Leave out what it reported of later epochs, in an attempt that is not the one that counts."""
        self.reports = [report for report in self.reports if report["epoch"] <= epoch]

    def outcome(self, metric: str) -> float | None:
        """What a search learns from it: the last value, NaN if training failed, None while it runs."""
        if self.status == INTERRUPTED:
            return None
        return math.nan if self.status in (FAILED, DIVERGED) else self.last(metric)

    def last(self, metric: str) -> float:
        """The metric as it was last reported; NaN if it never was, or is no number any more."""
        return next(reversed(self.values(metric)), math.nan)


class TrialTable:
    """All trials of one sweep, by number.

    On disk: Parquet, one row a report (a trial that reported nothing has one row without an
    epoch), columns `trial_id`, `number`, `status`, `is_default`, `error`, `retries`, `epoch`, the
    metrics (as `metric.NAME` where one is called like a column before it), then the configuration as
    `config.NAME`. Values of a column that are not all of one plain type are written as JSON.
    """

    def __init__(self, metrics: Sequence[str], trials: Iterable[Trial] = ()) -> None:
        """Start a table.

        Args:
            metrics: Names of metrics, beside `epoch`, in the order of the columns; others are added
                as they are reported.
            trials: What it holds from the start.
        """
        self.metrics = tuple(metrics)
        self._trials = {trial.number: trial for trial in trials}
        self._numbers = {trial.trial_id: number for number, trial in self._trials.items()}

    def add(self, trial: Trial) -> None:
        """Put a trial in; it takes the place of an interrupted one of the same number."""
        if trial.number in self._trials:
            del self._numbers[self._trials[trial.number].trial_id]
        self._trials[trial.number] = trial
        self._numbers[trial.trial_id] = trial.number

    def report(self, trial_id: str, report: Mapping[str, Any]) -> None:
        """Enter a report of that trial; it takes the place of one of the same epoch, which the trial has trained again.

        Raises:
            KeyError: There is no such trial.
        """
        numbers = {name: value if name == "epoch" else float(value) for name, value in report.items()}
        reports = self.get(trial_id).reports
        known = next((i for i, each in enumerate(reports) if each["epoch"] >= numbers["epoch"]), len(reports))
        reports[known : known + 1] = [numbers]
        self.metrics += tuple(name for name in report if name != "epoch" and name not in self.metrics)

    @property
    def trials(self) -> list[Trial]:
        """All trials, in the order of their numbers."""
        return [self._trials[number] for number in sorted(self._trials)]

    def get(self, trial_id: str) -> Trial:
        """The trial with that id.

        Raises:
            KeyError: There is none.
        """
        return self._trials[self._numbers[trial_id]]

    def ended(self) -> list[Trial]:
        """Trials that need not be run again."""
        return [trial for trial in self.trials if trial.status != INTERRUPTED]

    def counts(self) -> Counter[str]:
        """How many trials have each status."""
        return Counter(trial.status for trial in self._trials.values())

    def default(self) -> Trial | None:
        """The trial of the default configuration, if the sweep has one."""
        return next((trial for trial in self.trials if trial.is_default), None)

    def ranking(self, metric: str, mode: str) -> list[Trial]:
        """The completed trials, the best last report first; the earlier one of equals.

        A trial stopped early is not among them: its result is not that of its configuration, whose
        learning rate would have gone on falling.
        """
        sign = 1 if mode == "min" else -1
        candidates = [trial for trial in self.trials if trial.status == COMPLETED and math.isfinite(trial.last(metric))]
        return sorted(candidates, key=lambda trial: sign * trial.last(metric))

    def best(self, metric: str, mode: str) -> Trial | None:
        """The first of `ranking`."""
        return next(iter(self.ranking(metric, mode)), None)

    def to_arrow(self) -> pa.Table:
        """The table, with its schema."""
        schema = self._schema()
        encoded = set(json.loads(schema.metadata[b"json"]))
        rows = [
            {
                "trial_id": trial.trial_id,
                "number": trial.number,
                "status": trial.status,
                "is_default": trial.is_default,
                "error": trial.error,
                "retries": trial.retries,
                "epoch": report.get("epoch"),
                **{metric_column(name): report.get(name) for name in self.metrics},
                **{
                    f"{CONFIG}{name}": json.dumps(value) if name in encoded else value
                    for name, value in trial.configuration.items()
                },
            }
            for trial in self.trials
            for report in trial.reports or [{}]
        ]
        return pa.Table.from_pylist(rows, schema)

    def save(self, path: Path) -> None:
        """Write the table, atomically."""
        table = self.to_arrow()
        write_atomically(path, lambda file: pq.write_table(table, file))

    @classmethod
    def load(cls, path: Path) -> TrialTable:
        """Read a table that `save` wrote.

        Raises:
            SettingsError: The file is damaged or no trial table.
        """
        try:
            table = pq.read_table(path)
            metadata = table.schema.metadata or {}
            metrics, encoded = json.loads(metadata[b"metrics"]), json.loads(metadata[b"json"])
            columns = {"epoch": "epoch", **{name: metric_column(name) for name in metrics}}
            trials: dict[int, Trial] = {}
            for row in table.to_pylist():
                trial = trials.setdefault(row["number"], _trial_of(row, encoded))
                if row["epoch"] is not None:
                    trial.reports.append({name: row[each] for name, each in columns.items() if row[each] is not None})
        except (pa.ArrowException, OSError, KeyError, ValueError) as error:
            raise SettingsError(f"{path}: must be a trial table, and cannot be read ({error}).") from error
        return cls(metrics, trials.values())

    def _schema(self) -> pa.Schema:
        metrics = [(metric_column(name), pa.float64()) for name in self.metrics]
        values: dict[str, list[Any]] = {}
        for trial in self.trials:
            for name, value in trial.configuration.items():
                values.setdefault(name, []).append(value)
        types = {name: _type_of(values[name]) for name in sorted(values)}
        configuration = [(f"{CONFIG}{name}", each or pa.string()) for name, each in types.items()]
        encoded = [name for name, each in types.items() if each is None]
        metadata = {"metrics": json.dumps(self.metrics), "json": json.dumps(encoded)}
        return pa.schema([*_FIXED.items(), *metrics, *configuration], metadata)


def metric_column(metric: str) -> str:
    """The column of a metric in the table."""
    is_taken = metric in _FIXED or metric.startswith((CONFIG, _METRIC))
    return f"{_METRIC}{metric}" if is_taken else metric


def _trial_of(row: Mapping[str, Any], encoded: Sequence[str]) -> Trial:
    configuration = {
        name.removeprefix(CONFIG): value for name, value in row.items() if name.startswith(CONFIG) and value is not None
    }
    configuration |= {name: json.loads(configuration[name]) for name in encoded if name in configuration}
    # files are called by it, and whoever can write the folder chooses it
    if row["trial_id"] in (None, "", ".", "..") or "/" in row["trial_id"]:
        raise ValueError(f"{row['trial_id']!r} is no trial's id")
    head = (row["trial_id"], row["number"], row["is_default"], configuration, row["status"], row["error"])
    return Trial(*head, retries=row.get("retries", 0))  # tables of 0.1.0 have none


def _type_of(values: Sequence[Any]) -> pa.DataType | None:
    """The column type of values of one plain type; None for all others, which are written as JSON."""
    kinds = {type(value) for value in values}
    if kinds == {int, float}:
        return pa.float64()
    plain = {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), str: pa.string()}
    return plain.get(kinds.pop()) if len(kinds) == 1 else None
