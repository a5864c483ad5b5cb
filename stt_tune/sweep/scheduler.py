"""Stop weak trials early, at the bands of W&B's `early_terminate`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import SimpleNamespace
from typing import Any, Protocol

from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler

from stt_tune.sweep.early_terminate import EarlyTerminate
from stt_tune.sweep.metric import Metric

FINAL_REPORT = "final_report"  # in a result: the training function is done
_ENDLESS = 10**9  # epochs; beyond any run


class _Rule(Protocol):
    """Decides whether a trial that has just reported goes on."""

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str: ...


class EarlyStopping(FIFOScheduler):
    """Applies a rule, but spares the default configuration and trials that have ended, and notes whom it stopped.

    The default must get its full result: everything else is compared with it.

    Attributes:
        stopped: Ray's ids of the trials stopped before their last epoch.
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
        self._rule = rule
        self._metric = metric.name
        self._is_spared = is_spared

    def on_trial_result(self, tune_controller: TuneController, trial: Trial, result: dict[str, Any]) -> str:
        """Decide whether the trial goes on."""
        if self._rule is None or self._metric not in result:
            return str(TrialScheduler.CONTINUE)
        action = self._rule.on_trial_result(tune_controller, trial, result)
        has_ended = result.get(FINAL_REPORT) or result.get("epoch") == trial.config.get("epochs", 0)
        if action != TrialScheduler.STOP or has_ended or self._is_spared(trial.trial_id):
            return str(TrialScheduler.CONTINUE)
        self.stopped.add(trial.trial_id)
        return action

    def replay(self, trial_id: str, reports: Iterable[Mapping[str, Any]]) -> None:
        """Take note of what a trial of an earlier start reported, in order."""
        for report in reports:
            if self._rule is not None and self._metric in report:
                self._rule.on_trial_result(None, SimpleNamespace(trial_id=trial_id), dict(report))


class _Asha(ASHAScheduler):
    """Ray's ASHA, on exactly the bands that W&B would use.

    Source: Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning".
    """

    def __init__(self, early_terminate: EarlyTerminate, metric: Metric) -> None:
        super().__init__(
            time_attr="epoch",
            metric=metric.name,
            mode=metric.mode,
            max_t=_ENDLESS,
            grace_period=early_terminate.bands[0],
            reduction_factor=early_terminate.eta,
            # otherwise ASHA ends every trial at max_t
            stop_last_trials=False,
        )
        # Ray's own rungs are powers of eta from the first one; W&B's below max_iter are rounded down
        (bracket,) = self._brackets
        bracket._rungs = [(band, {}) for band in sorted(set(early_terminate.bands), reverse=True)]

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Record the result at its band and decide whether the trial goes on."""
        if trial.trial_id not in self._trial_info:
            self.on_trial_add(tune_controller, trial)
        return str(super().on_trial_result(tune_controller, trial, result))


class _WandbHyperband:
    """W&B's own rule, applied to a trial whenever it reports."""

    def __init__(self, early_terminate: EarlyTerminate, metric: Metric) -> None:
        self._early_terminate = early_terminate
        self._metric = metric
        self._histories: dict[str, list[float]] = {}

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        self._histories.setdefault(trial.trial_id, []).append(float(result[self._metric.name]))
        stops = self._early_terminate.stops(self._histories, [trial.trial_id], self._metric.mode)
        return str(TrialScheduler.STOP if stops else TrialScheduler.CONTINUE)


def build_scheduler(
    name: str, early_terminate: EarlyTerminate | None, metric: Metric, is_spared: Callable[[str], bool]
) -> EarlyStopping:
    """Make the scheduler of that name, one of `SCHEDULERS`; without `early_terminate` it stops no one."""
    if early_terminate is None or name == "none":
        return EarlyStopping(None, metric, is_spared)
    rule = _Asha(early_terminate, metric) if name == "asha" else _WandbHyperband(early_terminate, metric)
    return EarlyStopping(rule, metric, is_spared)
