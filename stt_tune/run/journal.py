"""What a trial keeps of itself while it runs, so that a fault costs it little more than the epoch that it was in."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from stt_tune.files import write_text
from stt_tune.run.mailbox import tell_user
from stt_tune.run.patience import insist
from stt_tune.storage import check_names, is_url
from stt_tune.transfer import pull, push, remove

_REPORTS, _NEWEST = "reports.json", "newest"
_SCRATCH, _LOCK = "stt_tune-journal-", "lock"
_GOING_ON = "The trial goes on; a fault would cost it more."


class Journal:
    """The reports of one trial, beside the checkpoints of its training.

    A trial that begins anew tells its reports again from the first, whoever has heard them, and goes
    on from the checkpoint; so nobody has to know what was heard when the fault came.

    Attributes:
        place: The path or URL of a folder of this trial alone; None: nothing is kept.
        folder: Where both lie, on this machine; None: nowhere, and a trial that begins anew begins at its
            first epoch.
        reports: As they were told, in order.
    """

    def __init__(self, place: str | None) -> None:
        """Read what an earlier attempt at the trial has left.

        Args:
            place: The path or URL of a folder of this trial alone; None: nothing is kept.

        Raises:
            OSError: The URL could not be read for a while.
        """
        self.place = place
        self._url = place if place and is_url(place) else None
        self._scratch = _Scratch() if self._url else None
        self.folder = self._scratch.folder if self._scratch else Path(place) if place else None
        if self._url:
            insist(self._fetch)
        self.reports: list[dict[str, Any]] = _read(self.folder / _REPORTS) if self.folder else []
        self._seconds_before = self._last("seconds")

    def _fetch(self) -> None:
        folder = Path(str(self.folder))
        pull(f"{self._url}/{_REPORTS}", folder / _REPORTS)
        if pull(f"{self._url}/{_NEWEST}", folder / _NEWEST):
            name = (folder / _NEWEST).read_text(encoding="utf-8")
            check_names([name], str(self._url))
            pull(f"{self._url}/{name}", folder / name)

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
            self._try(self.folder / _REPORTS, json.dumps(self.reports))
        return told

    def keep(self, checkpoint: Path) -> None:
        """Take note that the state of the training has been written; at a URL, send it there.

        May be called in another thread than `enter`.

        Args:
            checkpoint: Its folder, in `folder`.
        """
        if not self._url or not self.folder:
            return
        newest = self.folder / _NEWEST
        before = newest.read_text(encoding="utf-8") if newest.exists() else None
        try:
            push(checkpoint, f"{self._url}/{checkpoint.name}")
        except OSError as error:
            tell_user(f"{error} {_GOING_ON}")
            return
        self._try(newest, checkpoint.name)
        if before and before != checkpoint.name:
            _remove(f"{self._url}/{before}")

    def _try(self, path: Path, text: str) -> None:
        try:
            if not self._url:
                path.parents[2].stat()  # the run's folder, which must not be made anew where storage is gone
            write_text(path, text)
            if self._url:
                push(path, f"{self._url}/{path.name}")
        except OSError as error:
            tell_user(f"{path}: cannot be written ({error}). {_GOING_ON}")

    def _last(self, name: str) -> float:
        return float(self.reports[-1].get(name, 0)) if self.reports else 0.0


class _Scratch:
    """A temporary folder that is deleted with this, or by the next one of this user here where its process was killed.

    Whether one is in use tells a lock and not the number of a process, which means another one in another container.

    Attributes:
        folder: Where it is.
    """

    def __init__(self) -> None:
        """Delete what was left, and make the folder."""
        for each in Path(tempfile.gettempdir()).glob(f"{_SCRATCH}*"):
            with contextlib.suppress(OSError):  # it is in use, or another process was faster
                _delete_if_left(each)
        self._made = tempfile.TemporaryDirectory(prefix=_SCRATCH, ignore_cleanup_errors=True)
        self.folder = Path(self._made.name)
        new = self.folder / f"{_LOCK}.new"
        self._lock = new.open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        new.rename(self.folder / _LOCK)  # a lock that is there is held, or was left


def _delete_if_left(folder: Path) -> None:
    """Delete a temporary folder that no process holds any more.

    Raises:
        OSError: One does, or it is gone.
    """
    about = folder.lstat()
    if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.getuid():
        return
    with (folder / _LOCK).open("r") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder)


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        reports = json.loads(path.read_text(encoding="utf-8"))
        return [dict(each) for each in reports]
    except (OSError, ValueError, TypeError):
        return []  # the first attempt, or damaged: the trial begins at its first epoch


def forget_journals(place: str, trials: Iterable[str]) -> None:
    """Delete the journals and checkpoints of trials that need them no more.

    Args:
        place: The path or URL of the folder of all journals; may be missing.
        trials: Their ids.
    """
    for trial in trials:
        if is_url(place):
            _remove(f"{place}/{trial}")
        else:
            shutil.rmtree(Path(place, trial), ignore_errors=True)
    if not is_url(place):
        with contextlib.suppress(OSError):  # others still need theirs
            Path(place).rmdir()


def _remove(url: str) -> None:
    """Delete what is of no use any more; where that fails, it stays."""
    try:
        remove(url)
    except OSError as error:
        tell_user(f"{error} It is left there.")
