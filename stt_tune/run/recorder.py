"""Write what Ray Tune's trials report into the trial table, as it comes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from ray.tune import Callback
from ray.tune.experiment import Trial as RayTrial
from ray.tune.result import AUTO_RESULT_KEYS, DEFAULT_EXPERIMENT_INFO_KEYS

from stt_tune.files import write_text
from stt_tune.results.trials import COMPLETED, DIVERGED, FAILED, INTERRUPTED, STOPPED_EARLY, Trial, TrialTable
from stt_tune.run.budget import describe_duration
from stt_tune.run.controller import describe_failure
from stt_tune.run.folder import RunFolder
from stt_tune.run.journal import forget_journals
from stt_tune.run.patience import PatientWriter
from stt_tune.run.rendering import format_metric
from stt_tune.run.unpickled import Unpickled
from stt_tune.run.wandb_function import OWN_RUN
from stt_tune.sweep.metric import FINAL_REPORT, Metric
from stt_tune.sweep.nesting import flatten

BOOKKEEPING = {*AUTO_RESULT_KEYS, *DEFAULT_EXPERIMENT_INFO_KEYS, "done", "should_checkpoint", "diverged"}
BOOKKEEPING |= {OWN_RUN, FINAL_REPORT}
# The table is written whole: so seldom between reports, and never for more than this share of the time.
_SAVE_EVERY_S = 1.0
_SHARE = 0.1
_LOOK_EVERY_S = 1.0
UNREPORTED = "the metric is not reported"


class Stopping(Protocol):
    """Which trials were stopped, by Ray's ids."""

    stopped: set[str]
    halted: set[str]


class Plan(Protocol):
    """What the recorder asks and tells the searcher."""

    @property
    def numbers(self) -> Mapping[str, int]:
        """Numbers of the trials, by Ray's id."""

    def is_default(self, trial_id: str) -> bool:
        """Whether that trial trains the default configuration."""

    def finish(self) -> None:
        """Propose no further trials."""


class Recorder(Unpickled, Callback):
    """Keeps the table and its file up to date, and ends the sweep where going on has no use.

    Attributes:
        ended_by: `UNREPORTED`, or that the target is reached, where that has ended the sweep.
    """

    def __init__(
        self,
        table: TrialTable,
        folder: RunFolder,
        metric: Metric,
        plan: Plan,
        scheduler: Stopping,
        on_change: Callable[[TrialTable, Trial], None],
        timeout_s: float | None = None,
    ) -> None:
        """Set up the recorder.

        Args:
            table: What is kept up to date.
            folder: Where it is saved once a trial has begun or ended, and once a second between.
            metric: The objective; no further trial is started once its target is reached, or once
                trials have ended and none has ever reported it.
            plan: Knows the trials' numbers.
            scheduler: Knows which trials did not come to their end.
            on_change: Called with the table and the trial after every change.
            timeout_s: How long a trial may go on without a report, where that is limited.
        """
        self._timeout_s = timeout_s
        self._heard_at: dict[str, float] = {}
        self._last_epochs: dict[str, int] = {}
        self._table = table
        self._folder = folder
        self._file = PatientWriter(folder.trials, lambda: table.save(folder.trials), folder.path)
        self._metric = metric
        self._plan = plan
        self._scheduler = scheduler
        self._on_change = on_change
        self._saved_at = self._took_s = self._looked_at = 0.0
        self._due_at: float | None = None
        self._done_with: list[str] = []
        self._silence = f"it never reported {metric.name}"
        self.ended_by = ""

    def status_of(self, trial_id: str) -> str:
        """The trial's status in the table."""
        return self._table.get(trial_id).status

    def on_trial_start(self, iteration: int, trials: list[RayTrial], trial: RayTrial, **info: Any) -> None:
        """Enter the trial."""
        self._heard_at[trial.trial_id] = time.monotonic()
        self._enter(trial)
        self._changed(trial.trial_id)

    def on_trial_result(
        self, iteration: int, trials: list[RayTrial], trial: RayTrial, result: Mapping[str, Any], **info: Any
    ) -> None:
        """Enter one report."""
        self._heard_at[trial.trial_id] = time.monotonic()
        is_told_again = result["epoch"] <= self._table.get(trial.trial_id).last_epoch  # after a fault
        metrics = {name: value for name, value in result.items() if name not in BOOKKEEPING}
        self._table.report(trial.trial_id, metrics)
        self._last_epochs[trial.trial_id] = result["epoch"]
        if result.get("diverged"):
            self._table.get(trial.trial_id).status = DIVERGED
        if is_told_again:
            return
        if self._metric.name in metrics and self._metric.reaches_target(metrics[self._metric.name]):
            number, name = self._table.get(trial.trial_id).number, self._metric.name
            reached = f"{format_metric(metrics[name])}, and the target is {self._metric.target:g}"
            self._end_sweep(f"trial {number} has reached a {name} of {reached}")
        self._changed(trial.trial_id, least_wait_s=_SAVE_EVERY_S)

    def on_trial_complete(self, iteration: int, trials: list[RayTrial], trial: RayTrial, **info: Any) -> None:
        """Enter how the trial ended."""
        entry, is_halted = self._table.get(trial.trial_id), trial.trial_id in self._scheduler.halted
        if not is_halted:
            # an attempt that died may have been further than this one, which has come to its end
            entry.forget_after(self._last_epochs.get(trial.trial_id, entry.last_epoch))
        if entry.status != DIVERGED and not is_halted:
            entry.status = STOPPED_EARLY if trial.trial_id in self._scheduler.stopped else COMPLETED
        values = entry.values(self._metric.name)
        if values and not math.isfinite(values[-1]):
            entry.status = DIVERGED
        if not values and not is_halted:  # one that was halted may have reported it later
            entry.status, entry.error = FAILED, self._silence
            self._judge_metric()
        self._changed(trial.trial_id)

    def on_trial_recover(self, iteration: int, trials: list[RayTrial], trial: RayTrial, **info: Any) -> None:
        """Count that the trial is begun again."""
        entry = self._enter(trial)
        entry.status, entry.retries = INTERRUPTED, entry.retries + 1
        self._changed(trial.trial_id)

    def on_trial_error(self, iteration: int, trials: list[RayTrial], trial: RayTrial, **info: Any) -> None:
        """Enter that the trial failed, and why."""
        if trial.trial_id not in self._plan.numbers:
            return
        entry = self._enter(trial)  # a worker that cannot start fails before its trial begins
        # Ray calls this, too, for a trial that has ended when entering its end failed
        if entry.status == INTERRUPTED:
            entry.status, entry.error = FAILED, self._find_reason(trial)
        self._changed(trial.trial_id)

    def on_step_end(self, iteration: int, trials: list[RayTrial], **info: Any) -> None:
        """Save the table where that is due, or would fail."""
        begun = time.monotonic()
        if self._due_at is None and begun - self._looked_at >= _LOOK_EVERY_S:
            # trials that wait for storage report nothing, so that nothing is due; writing tells that it is gone
            self._looked_at = begun
            self._due_at = None if self._file.is_reachable else begun
        if self._due_at is None or begun < self._due_at:
            return
        is_written = self._file.write()
        self._saved_at = time.monotonic()
        self._took_s = self._saved_at - begun
        self._due_at = None if is_written else self._saved_at + _SAVE_EVERY_S
        if is_written:
            # only now: with neither, a trial would be trained again; and all of them may not fit the disk
            forget_journals(self._folder.share(self._folder.checkpoints), self._done_with)
            self._done_with = []

    def finish(self) -> None:
        """Save the table for the last time.

        Raises:
            OSError: It could not be written for `PATIENCE_S`.
        """
        self._file.finish()

    def _find_reason(self, trial: RayTrial) -> str:
        silence_s = time.monotonic() - self._heard_at.get(trial.trial_id, time.monotonic())
        if self._timeout_s is not None and silence_s >= self._timeout_s:
            return f"it reported nothing for {describe_duration(self._timeout_s)} and was ended"
        # the file on this machine: the copy in Ray's storage comes later
        text = Path(trial.error_file).read_text(encoding="utf-8") if trial.error_file else ""
        path = self._folder.errors / f"{trial}.txt"
        PatientWriter(path, lambda: write_text(path, text), self._folder.path).write()
        return describe_failure(text)

    def _enter(self, trial: RayTrial) -> Trial:
        try:
            return self._table.get(trial.trial_id)
        except KeyError:
            entry = Trial(
                trial_id=trial.trial_id,
                number=self._plan.numbers[trial.trial_id],
                is_default=self._plan.is_default(trial.trial_id),
                configuration=flatten(trial.config),
            )
            self._table.add(entry)
            return entry

    def _judge_metric(self) -> None:
        """End the sweep if its metric is one that trials do not report: the others would cost their hours for nothing.

        One trial may return early for reasons of its own; so with others running, it takes two.
        """
        trials = self._table.trials
        silent = sum(trial.error == self._silence for trial in trials)
        is_alone = not any(trial.status == INTERRUPTED for trial in trials)
        if (silent >= 2 or is_alone) and not any(trial.values(self._metric.name) for trial in trials):
            self._end_sweep(UNREPORTED)

    def _end_sweep(self, reason: str) -> None:
        self.ended_by = reason
        self._plan.finish()

    def _changed(self, trial_id: str, least_wait_s: float = 0.0) -> None:
        due_at = self._saved_at + max(least_wait_s, self._took_s / _SHARE)
        self._due_at = due_at if self._due_at is None else min(due_at, self._due_at)
        if self._table.get(trial_id).status in (COMPLETED, STOPPED_EARLY, FAILED):
            self._done_with.append(trial_id)
        self._on_change(self._table, self._table.get(trial_id))
