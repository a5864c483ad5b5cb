"""Open a run folder wherever it lies: at a path, or at a URL by a copy on this machine."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import platformdirs

from stt_tune.errors import StorageError
from stt_tune.files import write_json
from stt_tune.progress import say
from stt_tune.run.folder import MIRRORED, RunFolder
from stt_tune.run.lease import Lease
from stt_tune.run.mirror import Mirror
from stt_tune.storage import as_path, is_url


@contextlib.contextmanager
def opened(location: str | Path) -> Iterator[RunFolder]:
    """Have a run folder inside the block.

    That of a URL lies in the user's cache. It is fetched first, unless the last driver worked in it, and what
    changes in it inside the block is sent to the URL.

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
    lease = Lease(url, _read_copy(folder.path / MIRRORED))
    is_ours = lease.take()
    mirror = Mirror(folder, url, lease)
    try:
        if not is_ours:
            shutil.rmtree(folder.path, ignore_errors=True)
            folder.path.mkdir(parents=True)
            mirror.fetch()
        write_json(folder.path / MIRRORED, {"url": url, "copy": lease.copy})
        with _sending(mirror, url, folder.path):
            yield folder
    finally:
        lease.release()


@contextlib.contextmanager
def _sending(mirror: Mirror, url: str, path: Path) -> Iterator[None]:
    mirror.start()
    must = f"{url}: must hold all of the run, and does not"
    where = f"All of it lies in {path}, and the next stt-tune resume {url} on this machine sends it."
    try:
        yield
    except BaseException:
        if reason := mirror.finish():
            say(f"{must} ({reason}). {where}")
        raise
    if reason := mirror.finish():
        raise StorageError(f"{must} ({reason}). {where}")


def _find_place(url: str) -> Path:
    name = f"{url.rpartition('/')[2]}-{hashlib.sha256(url.encode()).hexdigest()[:8]}"
    return platformdirs.user_cache_path("stt_tune") / "runs" / name


def _read_copy(path: Path) -> str:
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["copy"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""  # nothing is called so
