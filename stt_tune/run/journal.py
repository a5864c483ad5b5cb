"""What a trial keeps of itself while it runs, so that a fault costs it no more than the epoch that it was in."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from stt_tune.files import write_text
from stt_tune.progress import say

_REPORTS = "reports.json"


class Journal:
    """The reports of one trial, beside the checkpoints of its training.

    A trial that begins anew tells its reports again from the first, whoever has heard them, and goes
    on from the checkpoint; so nobody has to know what was heard when the fault came.

    Attributes:
        folder: Where both lie; None: nowhere, and a trial that begins anew begins at its first epoch.
        reports: As they were told, in order.
    """

    def __init__(self, folder: Path | None) -> None:
        """Read what an earlier attempt at the trial has left."""
        self.folder = folder
        self.reports: list[dict[str, Any]] = _read(folder / _REPORTS) if folder else []
        self._seconds_before = self._last("seconds")

    @property
    def is_at_end(self) -> bool:
        """Whether the last report says that training cannot go on."""
        return bool(self._last("diverged"))

    def tell_again(self, report: Callable[[Mapping[str, Any]], None]) -> None:
        """Report what earlier attempts have reported."""
        for each in self.reports:
            report(each)

    def enter(self, report: Mapping[str, Any]) -> dict[str, Any] | None:
        """Take note of a report.

        Returns:
            What is to be told: with the seconds of earlier attempts added. None where an earlier
            attempt has told this epoch, and died before its checkpoint was written.
        """
        if report["epoch"] <= self._last("epoch"):
            return None
        told = {**report, "seconds": report["seconds"] + self._seconds_before}
        self.reports.append(told)
        if self.folder:
            try:
                write_text(self.folder / _REPORTS, json.dumps(self.reports))
            except OSError as error:
                # a later fault costs more, and the trial goes on
                say(f"{self.folder / _REPORTS}: cannot be written ({error.strerror})")
        return told

    def _last(self, name: str) -> float:
        return float(self.reports[-1].get(name, 0)) if self.reports else 0.0


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        reports = json.loads(path.read_text(encoding="utf-8"))
        return [dict(each) for each in reports]
    except (OSError, ValueError, TypeError):
        return []  # the first attempt, or damaged: the trial begins at its first epoch


def forget_journals(folder: Path, *, but: Collection[str] = ()) -> None:
    """Delete the journals and checkpoints of all trials that need them no more.

    Args:
        folder: Of all trials' journals; may be missing.
        but: Ids of the trials whose journals stay.
    """
    for path in folder.glob("*/"):
        if path.name not in but:
            shutil.rmtree(path, ignore_errors=True)
