"""Stop weak trials early, at the bands of W&B's `early_terminate`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from stt_tune.sweep.asha import Asha
from stt_tune.sweep.config import SweepConfig
from stt_tune.sweep.early_terminate import EarlyTerminate
from stt_tune.sweep.metric import FINAL_REPORT, Metric
from stt_tune.sweep.numerals import is_count
from stt_tune.sweep.rungs import EPOCHS, find_longest


class _Rule(Protocol):
    """Decides whether a trial that has just reported goes on."""

    def stops(self, trial_id: str, epoch: int, planned: int | None, value: float) -> bool:
        """Take note of a report, and say whether the trial is to stop."""


class EarlyStopping(FIFOScheduler):
    """Applies a rule, but spares the default configuration and trials that have ended, and notes whom it stopped.

    The default must get its full result: everything else is compared with it.

    Attributes:
        stopped: Ray's ids of the trials stopped before their last epoch, because they were weak.
        halted: Of those stopped because the sweep was to end.
        is_ending: Whether all trials are to stop.
    """

    def __init__(self, rule: _Rule | None, metric: Metric, is_spared: Callable[[str], bool]) -> None:
        """Set up the scheduler.

        Args:
            rule: Decides; None: no trial is stopped.
            metric: What is compared.
            is_spared: Whether the trial with that id is never stopped.
        """
        super().__init__()  # type: ignore[no-untyped-call]
        self.stopped: set[str] = set()
        self.halted: set[str] = set()
        self.is_ending = False
        self._rule = rule
        self._metric_name = metric.name
        self._is_spared = is_spared
        self._told: dict[str, int] = {}

    def on_trial_result(self, tune_controller: TuneController, trial: Trial, result: dict[str, Any]) -> str:
        """Decide whether the trial goes on."""
        is_weak = self._note(trial.trial_id, trial.config, result)
        has_ended = result.get(FINAL_REPORT) or result.get("epoch") == trial.config.get(EPOCHS, 0)
        if not (is_weak or self.is_ending) or has_ended or self._is_spared(trial.trial_id):
            return str(TrialScheduler.CONTINUE)
        (self.stopped if is_weak else self.halted).add(trial.trial_id)
        return str(TrialScheduler.STOP)

    def replay(self, trial_id: str, configuration: Mapping[str, Any], reports: Iterable[Mapping[str, Any]]) -> None:
        """Take note of what a trial of an earlier start reported, in order."""
        for report in reports:
            self._note(trial_id, configuration, report)

    def _note(self, trial_id: str, configuration: Mapping[str, Any], report: Mapping[str, Any]) -> bool:
        is_told_again = report["epoch"] <= self._told.get(trial_id, 0)  # by a trial that goes on after a fault
        if is_told_again or self._rule is None or self._metric_name not in report:
            return False
        self._told[trial_id] = report["epoch"]
        planned = configuration.get(EPOCHS)
        length = int(planned) if is_count(planned) else None
        return self._rule.stops(trial_id, report["epoch"], length, float(report[self._metric_name]))


class _WandbHyperband:
    """W&B's own rule, applied to a trial whenever it reports."""

    def __init__(self, early_terminate: EarlyTerminate, metric: Metric) -> None:
        self._early_terminate = early_terminate
        self._mode = metric.mode
        self._histories: dict[str, list[float]] = {}

    def stops(self, trial_id: str, epoch: int, planned: int | None, value: float) -> bool:
        self._histories.setdefault(trial_id, []).append(value)
        return bool(self._early_terminate.stops(self._histories, [trial_id], self._mode))


def build_scheduler(
    name: str, sweep: SweepConfig, default: Mapping[str, Any] | None, is_spared: Callable[[str], bool]
) -> EarlyStopping:
    """Make the scheduler of that name, one of `SCHEDULERS`; without `early_terminate` it stops no one."""
    early_terminate = sweep.early_terminate
    if early_terminate is None or name == "none":
        return EarlyStopping(None, sweep.metric, is_spared)
    rule: _Rule
    if name == "asha":
        longest = find_longest(sweep, default)
        rule = Asha(early_terminate.bands, early_terminate.eta, sweep.metric.mode, longest)
    else:
        rule = _WandbHyperband(early_terminate, sweep.metric)
    return EarlyStopping(rule, sweep.metric, is_spared)
