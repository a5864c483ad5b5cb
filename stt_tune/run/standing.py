"""How a sweep stands: what is done, the best result against the default's, what is spent, what is left."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from stt_tune.results.trials import COMPLETED, INTERRUPTED, RUNNING, STATUSES, Trial, TrialTable
from stt_tune.run.rendering import format_metric
from stt_tune.run.spent import Spent, describe_roughly
from stt_tune.sweep.metric import Metric


@dataclass(frozen=True)
class Standing:
    """How a sweep stands at one moment.

    Attributes:
        table: Its trials.
        metric: What they are compared by.
        num_trials: How many it has in all.
        spent: What it has cost, over all its starts.
        limit_s: What it may take, in seconds; None: as long as it takes.
        unfinished: What trials without an end are: `running`, or `interrupted` where nothing runs.
    """

    table: TrialTable
    metric: Metric
    num_trials: int
    spent: Spent = field(default_factory=Spent)
    limit_s: float | None = None
    unfinished: str = RUNNING

    @property
    def done(self) -> int:
        """How many trials have ended, however."""
        return len(self.table.ended())

    @property
    def counts(self) -> dict[str, int]:
        """How many trials have each status, those that there are."""
        counts = self.table.counts()
        names = {INTERRUPTED: self.unfinished}
        return {names.get(status, status): counts[status] for status in STATUSES if counts[status]}

    @property
    def best(self) -> Trial | None:
        """The completed trial whose last report is best."""
        return self.table.best(self.metric.name, self.metric.mode)

    @property
    def default(self) -> Trial | None:
        """The trial of the default configuration, once it is completed."""
        default = self.table.default()
        return default if default is not None and default.status == COMPLETED else None

    @property
    def left_s(self) -> float | None:
        """How long its trials will still take, by those that have ended, in seconds; None where nothing tells."""
        if self.done >= self.num_trials:
            return 0.0
        by_trials = by_limit = math.inf
        if self.spent.trials:
            by_trials = self.spent.seconds / self.spent.trials * (self.num_trials - self.done)
        if self.limit_s is not None:
            by_limit = max(self.limit_s - self.spent.seconds, 0.0)
        left_s = min(by_trials, by_limit)
        return left_s if math.isfinite(left_s) else None

    def describe_trials(self) -> str:
        """What is done, in words."""
        states = ", ".join(f"{count} {status.replace('_', ' ')}" for status, count in self.counts.items())
        return f"{self.done} of {self.num_trials} trials done" + (f" ({states})" if states else "")

    def describe_best(self) -> str:
        """The best result and what it is compared with, in words."""
        name, best, default = self.metric.name, self.best, self.default
        if best is None:
            return "no result yet"
        text = f"best {name} {format_metric(best.last(name))}"
        return text + (f", default's {format_metric(default.last(name))}" if default else "")

    def describe_time(self) -> str:
        """What is spent and what is left, in words."""
        left_s = self.left_s if self.unfinished == RUNNING else None
        return self.spent.describe() + (f", about {describe_roughly(left_s)} of trials left" if left_s else "")

    def to_dict(self) -> dict[str, Any]:
        """For machines: `trials` by status, `metric`, `best` and `default`, what is spent, `left_s` (seconds)."""
        return {
            "num_trials": self.num_trials,
            "done": self.done,
            "trials": self.counts,
            "metric": self.metric.name,
            "best": self._result(self.best),
            "default": self._result(self.default),
            "seconds": self.spent.seconds,
            "gpu_hours": self.spent.gpu_seconds / 3600,
            "left_s": self.left_s if self.unfinished == RUNNING else None,
        }

    def _result(self, trial: Trial | None) -> dict[str, Any] | None:
        if trial is None:
            return None
        return {"trial": trial.number, "trial_id": trial.trial_id, "value": trial.last(self.metric.name)}
