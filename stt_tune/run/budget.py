"""What ends a sweep before its last trial."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from stt_tune.errors import SettingsError
from stt_tune.results.trials import TrialTable
from stt_tune.run.cluster import TrialResources
from stt_tune.sweep.config import SweepConfig
from stt_tune.sweep.metric import Metric
from stt_tune.sweep.numerals import is_number

_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "min": 60.0, "s": 1.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(d|h|min|m|s)\s*")


@dataclass(frozen=True)
class Budget:
    """Limits of a sweep; whichever is reached first ends it.

    Time and GPU hours count over all starts of the sweep, and not what comes after it. Where they are
    spent, no further trial begins, and those that run stop at their next report; the default
    configuration goes on to its end, because everything is compared with it. A target or an
    improvement that is too small starts no further trials, and lets those that run go on.

    Attributes:
        time_s: Seconds.
        gpu_hours: Hours of trials, times the GPUs that each has.
        target: Of the metric; None: the sweep's own, if it has one.
        min_improvement: The search ends when the model of a Bayesian sweep expects of the best next trial to
            be better than the best so far by less than this share of it, on average.
    """

    time_s: float | None = None
    gpu_hours: float | None = None
    target: float | None = None
    min_improvement: float | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot hold, all of it at once."""
        problems = [
            f"{name} must be a number above 0, found {value!r}."
            for name, value in (
                ("the time budget", self.time_s),
                ("GPU hours", self.gpu_hours),
            )
            if value is not None and not (is_number(value) and value > 0)
        ]
        if self.target is not None and not is_number(self.target):
            problems.append(f"the target must be a number, found {self.target!r}.")
        least = self.min_improvement
        if least is not None and not (is_number(least) and 0 < least < 1):
            problems.append(f"the least improvement must be above 0 and below 1, found {least!r}.")
        if problems:
            raise SettingsError("\n".join(problems))

    def aim(self, metric: Metric) -> Metric:
        """The sweep's objective, with the target that counts."""
        return metric if self.target is None else replace(metric, target=self.target)

    def check(self, sweep: SweepConfig) -> None:
        """Make sure that the budget has a meaning for a sweep.

        Raises:
            SettingsError: It has none.
        """
        if self.min_improvement is not None and sweep.method != "bayes":
            raise SettingsError(
                "the least improvement (--min-improvement): only the model of the method bayes knows what to expect, "
                f"and the method is {sweep.method}. Leave it out, or change the method."
            )

    def check_resources(self, resources: TrialResources) -> None:
        """Make sure that GPU hours are spent at all.

        Raises:
            SettingsError: Trials have no GPU.
        """
        if self.gpu_hours is not None and not resources.gpus:
            raise SettingsError(
                "GPU hours (--gpu-hours): a limit of them ends nothing here, as no trial uses a GPU. Leave it out."
            )


def is_reached(metric: Metric, table: TrialTable) -> bool:
    """Whether a trial that has ended has reached the target."""
    return any(metric.reaches_target(value) for trial in table.ended() for value in trial.values(metric.name))


def read_duration(text: str, option: str = "--time-budget") -> float:
    """Read a duration, in seconds.

    Args:
        text: What is given.
        option: Where.

    Raises:
        SettingsError: It is none.

    >>> read_duration("2h"), read_duration("1h 30min"), read_duration("90s")
    (7200.0, 5400.0, 90.0)
    """
    parts = _PART.findall(text.strip().lower())
    if not parts or "".join(_PART.split(text.strip().lower())[::3]):
        raise SettingsError(f"{option} must be a duration such as 2h, 90m, 1h30m, 45s or 1d, found {text!r}.")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def describe_duration(seconds: float) -> str:
    """A duration in a few words.

    >>> describe_duration(7200), describe_duration(5400), describe_duration(90), describe_duration(12.5)
    ('2 h', '1 h 30 min', '1 min 30 s', '12.5 s')
    """
    whole, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(whole), 60)
    parts = [f"{hours} h"] * (hours > 0) + [f"{minutes} min"] * (minutes > 0) + [f"{rest:g} s"] * (rest > 0)
    return " ".join(parts) or "0 s"
