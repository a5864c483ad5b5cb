"""Count what a sweep spends, and end it where that is enough."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial as RayTrial

from stt_tune.errors import SettingsError
from stt_tune.files import write_json
from stt_tune.run.budget import Budget, describe_duration
from stt_tune.run.patience import PatientWriter
from stt_tune.run.unpickled import Unpickled

_SECONDS, _GPU_SECONDS = "seconds", "gpu_seconds"
_SAVE_EVERY_S = 1.0


class Meter(Unpickled, Callback):
    """Counts time and GPU hours over all starts of a sweep.

    Attributes:
        ended_by: Which limit has ended the sweep, if one has.
    """

    def __init__(self, budget: Budget, path: Path, gpus: float, end: Callable[[], None]) -> None:
        """Go on from what earlier starts have spent.

        Args:
            budget: The limits.
            path: Where what is spent is kept.
            gpus: That a trial has.
            end: Called when a limit is reached: begins no further trials, and stops those that run.

        Raises:
            SettingsError: `path` is damaged.
        """
        self._budget, self._gpus, self._end = budget, gpus, end
        self._file = PatientWriter(path, lambda: write_json(path, self._spent()), path.parent)
        self._seconds, self._gpu_seconds = _read(path)
        self._counted_at = self._saved_at = time.monotonic()
        self.ended_by = ""

    def on_step_end(self, iteration: int, trials: list[RayTrial], **info: Any) -> None:
        """Count the time since the last step."""
        now = time.monotonic()
        running = sum(trial.status == RayTrial.RUNNING for trial in trials)
        self._seconds += now - self._counted_at
        self._gpu_seconds += (now - self._counted_at) * running * self._gpus
        self._counted_at = now
        if now - self._saved_at >= _SAVE_EVERY_S:
            self.save()
        spent = self.find_spent()
        if spent and not self.ended_by:
            self.ended_by = spent
            self._end()

    def save(self) -> None:
        """Write down what is spent, where that is limited."""
        if self._budget.time_s is None and self._budget.gpu_hours is None:
            return
        self._file.write()
        self._saved_at = time.monotonic()

    def _spent(self) -> dict[str, float]:
        return {_SECONDS: self._seconds, _GPU_SECONDS: self._gpu_seconds}

    def find_spent(self) -> str:
        """Say which limit is reached; empty if none is."""
        time_s, gpu_hours = self._budget.time_s, self._budget.gpu_hours
        if time_s is not None and self._seconds >= time_s:
            return f"the time budget of {describe_duration(time_s)} is spent"
        if gpu_hours is not None and self._gpu_seconds >= 3600 * gpu_hours:
            return f"the budget of {gpu_hours:g} GPU hours is spent"
        return ""


def _read(path: Path) -> tuple[float, float]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return float(document[_SECONDS]), float(document[_GPU_SECONDS])
    except FileNotFoundError:
        return 0.0, 0.0
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SettingsError(f"{path}: must say what the sweep has spent, and cannot be read ({error}).") from error
