"""Open a run folder wherever it lies: at a path, or at a URL by a copy on this machine."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import platformdirs

from stt_tune.errors import StorageError
from stt_tune.files import write_json
from stt_tune.progress import say
from stt_tune.run.commands import command
from stt_tune.run.folder import RunFolder
from stt_tune.run.lease import Lease, is_held
from stt_tune.run.mirror import Mirror
from stt_tune.run.places import MIRRORED
from stt_tune.storage import as_path, is_url
from stt_tune.transfer import pull

_IS_SENT = "is_sent"  # in what a copy says of itself


@contextlib.contextmanager
def opened(location: str | Path) -> Iterator[RunFolder]:
    """Have a run folder inside the block.

    That of a URL lies in the user's cache. It is fetched first, unless the last driver worked in it, and what
    changes in it inside the block is sent to the URL. What never was, before another driver sent something, is left
    beside it.

    Args:
        location: A path or URL; there may be no run there yet.

    Raises:
        SettingsError: Another process drives the run at that URL.
        SharedFileError: The URL cannot be written.
        StorageError: It cannot be read; or the block has ended well, and not all could be sent.
    """
    if not is_url(location):
        yield RunFolder(Path(as_path(str(location))).absolute())
        return
    url = str(location).rstrip("/")
    folder = RunFolder(_find_place(url))
    known = _read_copy(folder.path / MIRRORED)
    lease = Lease(url, str(known.get("copy", "")))
    is_ours = lease.take()
    mirror = Mirror(folder, url, lease)
    try:
        if not is_ours:
            _make_room(folder.path, url)
            folder.path.mkdir(parents=True)
            mirror.fetch()
        elif known.get(_IS_SENT):
            mirror.trust()
        write_json(folder.path / MIRRORED, {"url": url, "copy": lease.copy})
        with _sending(mirror, lease, url, folder.path):
            yield folder
    finally:
        lease.release()


@contextlib.contextmanager
def opened_to_read(location: str | Path) -> Iterator[RunFolder]:
    """Have a run folder to read inside the block, whoever drives the run: nobody is kept from it, or taken for dead.

    That of a URL is a copy for the block alone, of the files that tell of the run as a whole, as its driver sent them
    last, some seconds ago. What is written there is not sent.

    Args:
        location: A path or URL.

    Raises:
        SettingsError: There is no run.
        StorageError: The URL cannot be read.
    """
    if not is_url(location):
        yield RunFolder.existing(Path(as_path(str(location))))
        return
    url = str(location).rstrip("/")
    with tempfile.TemporaryDirectory(prefix="stt_tune-") as copy:
        folder = RunFolder(Path(copy))
        write_json(folder.path / MIRRORED, {"url": url})
        for path in (folder.run, folder.sweep, folder.frame, folder.trials, folder.spent, folder.optimal_config):
            pull(f"{url}/{path.name}", path)
        folder.check_existing()
        yield folder


def is_driven(folder: RunFolder, location: str | Path) -> bool:
    """Whether a process works on a run that has no result yet.

    To be asked before the files are read: a driver that ends meanwhile has then written them all.

    Args:
        folder: As `opened_to_read` gave it.
        location: What it was opened by. Of a URL it may take half a minute to find out.

    Raises:
        SettingsError: The lock cannot be read.
        SharedFileError: The URL cannot be.
    """
    if folder.optimal_config.exists():
        return False
    return is_held(folder.location) if is_url(location) else folder.is_locked


def _make_room(path: Path, url: str) -> None:
    """Delete the copy of an earlier driver if all that it holds is at the URL; else leave it beside, and tell so."""
    # one that does not say what it is was still being fetched
    if not (path / MIRRORED).exists() or _read_copy(path / MIRRORED).get(_IS_SENT):
        shutil.rmtree(path, ignore_errors=True)
        return
    beside = path.with_name(f"{path.name}-until-{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}")
    path.rename(beside)
    (beside / MIRRORED).unlink()  # so it is a run of this machine
    say(
        f"{url}: another driver has gone on without what this machine had, of which not all was sent. That is kept as "
        f"a run folder of its own, {beside}; delete it once you do not need it."
    )


@contextlib.contextmanager
def _sending(mirror: Mirror, lease: Lease, url: str, path: Path) -> Iterator[None]:
    mirror.start()
    try:
        yield
    except BaseException:
        if told := _finish(mirror, lease, url, path):
            say(told)
        raise
    if told := _finish(mirror, lease, url, path):
        raise StorageError(told)


def _finish(mirror: Mirror, lease: Lease, url: str, path: Path) -> str:
    """Send what is left; give what is to be told of it if not all could be sent, else nothing."""
    reason = mirror.finish()
    if not reason and lease.renew():
        with contextlib.suppress(OSError):  # it is taken for one of which not all was sent, then
            write_json(path / MIRRORED, {"url": url, "copy": lease.copy, _IS_SENT: True})
    if lease.is_lost:
        reason = "another process drives it"
    if not reason:
        return ""
    what_next = (
        "It is not sent any more, as that process goes on without it; the next stt-tune command that opens the run on "
        "this machine keeps it beside, and says where."
        if lease.is_lost
        else f"If no other driver goes on without it before, the next {command('resume', url)} on this machine "
        "sends it."
    )
    return f"{url}: must hold all of the run, and does not ({reason}). All of it lies in {path}. {what_next}"


def _find_place(url: str) -> Path:
    name = f"{url.rpartition('/')[2]}-{hashlib.sha256(url.encode()).hexdigest()[:8]}"
    return platformdirs.user_cache_path("stt_tune") / "runs" / name


def _read_copy(path: Path) -> dict[str, Any]:
    """What a copy says of itself: which one it is, and whether all of it was sent."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}
