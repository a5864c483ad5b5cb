"""Stop weak trials early: Ray's ASHA on the rungs of W&B's `early_terminate`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler, TrialScheduler

from stt_tune.sweep.config import Metric
from stt_tune.sweep.early_terminate import EarlyTerminate


class EarlyStopping(ASHAScheduler):
    """ASHA over epochs that spares the default configuration and remembers whom it stopped.

    The default must get its full result: everything else is compared with it.

    Attributes:
        stopped: Ray's ids of the trials stopped before their last epoch.

    Source: Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning".
    """

    def __init__(self, early_terminate: EarlyTerminate, metric: Metric, is_spared: Callable[[str], bool]) -> None:
        """Set up the rungs.

        Args:
            early_terminate: Where the rungs are.
            metric: What is compared.
            is_spared: Whether the trial with that id is never stopped.
        """
        super().__init__(
            time_attr="epoch",
            metric=metric.name,
            mode=metric.mode,
            max_t=early_terminate.last_rung,
            grace_period=early_terminate.first_rung,
            reduction_factor=early_terminate.eta,
            # otherwise ASHA ends every trial at max_t, which here is only the last rung
            stop_last_trials=False,
        )
        self.stopped: set[str] = set()
        self._is_spared = is_spared

    def set_search_properties(self, metric: str | None, mode: str | None, **spec: Any) -> bool:
        """Take note that Tune names the metric, too: it is the one given above."""
        return True

    def on_trial_result(self, tune_controller: TuneController, trial: Trial, result: dict[str, Any]) -> str:
        """Record the result at its rung and decide whether the trial goes on."""
        action: str = super().on_trial_result(tune_controller, trial, result)
        has_ended = result.get("epoch", 0) >= trial.config.get("epochs", float("inf"))
        if action != TrialScheduler.STOP:
            return action
        if has_ended or self._is_spared(trial.trial_id):
            return str(TrialScheduler.CONTINUE)
        self.stopped.add(trial.trial_id)
        return action
