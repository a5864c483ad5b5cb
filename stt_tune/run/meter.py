"""Count what a sweep spends, and end it where that is enough."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial as RayTrial

from stt_tune.files import write_json
from stt_tune.run.budget import Budget, describe_duration
from stt_tune.run.patience import PatientWriter
from stt_tune.run.spent import Spent
from stt_tune.run.unpickled import Unpickled

_SAVE_EVERY_S = 1.0
_ENDED = (RayTrial.TERMINATED, RayTrial.ERROR)


class Meter(Unpickled, Callback):
    """Counts time and GPU hours over all starts of a sweep.

    Attributes:
        ended_by: Which limit has ended the sweep, if one has.
    """

    def __init__(
        self,
        budget: Budget,
        path: Path,
        gpus: float,
        end: Callable[[], None],
        on_step: Callable[[Spent], None] = lambda _spent: None,
    ) -> None:
        """Go on from what earlier starts have spent.

        Args:
            budget: The limits.
            path: Where what is spent is kept.
            gpus: That a trial has.
            end: Called when a limit is reached: begins no further trials, and stops those that run.
            on_step: Called all the time with what is spent.

        Raises:
            SettingsError: `path` is damaged.
        """
        self._budget, self._gpus, self._end, self._on_step = budget, gpus, end, on_step
        self._path = path
        self._file = PatientWriter(path, lambda: write_json(path, self._spent.to_dict()), path.parent)
        self._spent = Spent.read(path)
        self._trials_before = self._spent.trials
        self._counted_at = self._saved_at = time.monotonic()
        self.ended_by = ""

    def on_step_end(self, iteration: int, trials: list[RayTrial], **info: Any) -> None:
        """Count the time since the last step."""
        now = time.monotonic()
        running = sum(trial.status == RayTrial.RUNNING for trial in trials)
        self._spent.seconds += now - self._counted_at
        self._spent.gpu_seconds += (now - self._counted_at) * running * self._gpus
        self._spent.trials = self._trials_before + sum(trial.status in _ENDED for trial in trials)
        self._counted_at = now
        if now - self._saved_at >= _SAVE_EVERY_S:
            self.save()
        spent = self.find_spent()
        if spent and not self.ended_by:
            self.ended_by = spent
            self._end()
        self._on_step(self._spent)

    def save(self) -> None:
        """Write down what is spent."""
        if self._budget.time_s is None and self._budget.gpu_hours is None:
            # nothing hangs on it then, and who writes the trial table tells of a disk that is full or gone
            with contextlib.suppress(OSError):
                if self._file.is_reachable:
                    write_json(self._path, self._spent.to_dict())
        else:
            self._file.write()
        self._saved_at = time.monotonic()

    def find_spent(self) -> str:
        """Say which limit is reached; empty if none is."""
        time_s, gpu_hours = self._budget.time_s, self._budget.gpu_hours
        if time_s is not None and self._spent.seconds >= time_s:
            return f"the time budget of {describe_duration(time_s)} is spent"
        if gpu_hours is not None and self._spent.gpu_seconds >= 3600 * gpu_hours:
            return f"the budget of {gpu_hours:g} GPU hours is spent"
        return ""
