"""The objective of a sweep: its `metric` section."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stt_tune.sweep.numerals import is_number

_GOALS = ("minimize", "maximize")
_IMPUTE = ("latest", "best", "worst")
# What W&B's own Bayesian search puts in the place of a missing value; here it is always the worst.
_IMPUTATION = {"impute": _IMPUTE, "impute_while_running": (*_IMPUTE, "false")}
_KEYS = ("name", "goal", "target", *_IMPUTATION)

FINAL_REPORT = "final_report"  # in a report, beside its metrics: the training function is done


@dataclass(frozen=True)
class Metric:
    """The objective.

    Attributes:
        name: What trials report it as.
        goal: `minimize` or `maximize`.
        target: The sweep starts no further trial once one has reported this or better.
    """

    name: str = "wer"
    goal: str = "minimize"
    target: float | None = None

    @property
    def mode(self) -> str:
        """Ray's word for the goal: `min` or `max`."""
        return self.goal[:3]

    def reaches_target(self, value: float) -> bool:
        """Whether the target is reached; False where there is none or `value` is NaN."""
        if self.target is None:
            return False
        return value <= self.target if self.mode == "min" else value >= self.target


def parse_metric(spec: Any) -> Metric:
    """Read a sweep's `metric`.

    Raises:
        ValueError: It cannot be read; the message holds all its problems, one a line.
    """
    if not isinstance(spec, Mapping):
        raise ValueError(f"metric: must be a mapping with name and goal, found {spec!r}.")
    problems = [f"metric.{key}: no such key. Known are {', '.join(_KEYS)}." for key in spec if key not in _KEYS]
    metric = Metric(spec.get("name", ""), spec.get("goal", "minimize"), spec.get("target"))
    if not isinstance(metric.name, str) or not metric.name:
        problems.append(f"metric.name: must be the name of a reported metric, found {spec.get('name')!r}.")
    if metric.goal not in _GOALS:
        problems.append(f"metric.goal: must be minimize or maximize, found {metric.goal!r}.")
    if metric.target is not None and not is_number(metric.target):
        problems.append(f"metric.target: must be a finite number, found {metric.target!r}.")
    for key, known in _IMPUTATION.items():
        if key in spec and spec[key] not in known:
            problems.append(f"metric.{key}: must be one of {', '.join(known)}; found {spec[key]!r}.")
    if problems:
        raise ValueError("\n".join(problems))
    return metric
