"""A run at a URL: the driver works in a folder of its own, and what changes there is sent while it works."""

from __future__ import annotations

import contextlib
import posixpath
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from stt_tune.errors import StorageError, first_line
from stt_tune.progress import say
from stt_tune.run.folder import RunFolder
from stt_tune.run.lease import LEASE, Lease
from stt_tune.run.places import MIRRORED
from stt_tune.storage import check_names, open_storage, telling
from stt_tune.transfer import put_file

_EVERY_S = 5.0
_PATIENCE_S = 60.0  # at the end, for storage that fails
_THREADS = 8
_UNSENT = {"models", "checkpoints"}  # this machine's own, or sent by workers
_UNFETCHED = {*_UNSENT, "wandb", "best_model", "best_model_ctranslate2"}  # not needed to go on


class Mirror:
    """Keeps the run at a URL as it is in a folder of this machine; never the other way round."""

    def __init__(self, folder: RunFolder, url: str, lease: Lease) -> None:
        """Send nothing yet.

        Args:
            folder: What is sent.
            url: Where to.
            lease: Once it is lost, nothing is sent any more.
        """
        self._folder, self._url, self._lease = folder, url, lease
        self._sent: dict[str, tuple[int, int]] = {}
        self._is_failing = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep_sending, name="mirror", daemon=True)

    def fetch(self) -> None:
        """Fetch what a driver needs of the run to go on.

        Raises:
            StorageError: The storage cannot be read.
            OSError: The folder cannot be written.
        """
        system, root = open_storage(self._url)
        names = [name for name in _list(system, root, self._url) if name.partition("/")[0] not in _UNFETCHED]
        _get_all(system, root, self._url, self._folder.path, names)
        found = self._look()
        self._sent = {name: found[name] for name in names if name in found}

    def trust(self) -> None:
        """Take all that lies in the folder for sent."""
        self._sent = self._look()

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def finish(self) -> str:
        """Send what is left; give why not all of it could be sent, empty if it was."""
        self._ended.set()
        self._thread.join()
        end = time.monotonic() + _PATIENCE_S
        while (reason := self._try()) and not self._lease.is_lost and time.monotonic() < end:
            time.sleep(_EVERY_S)
        return reason

    def _keep_sending(self) -> None:
        while not self._ended.wait(_EVERY_S):
            self._try()

    def _try(self) -> str:
        """Send what has changed; a failure is told once, and is no end."""
        if self._lease.is_lost:
            return "another process drives it"
        try:
            self._send()
        except OSError as error:  # also of this machine's disk
            if not self._is_failing and not self._lease.is_lost:
                say(f"{error}\nThe sweep goes on in {self._folder.path}; sending it is tried again.")
            self._is_failing = True
            return first_line(error)
        if self._is_failing:
            say(f"{self._url}: is up to date again")
        self._is_failing = False
        return ""

    def _send(self) -> None:
        system, root = open_storage(self._url)
        now = self._look()
        if now != self._sent and not self._lease.claim():
            raise StorageError(f"{self._url}/{LEASE}: must be a file that can be written, and is not.")
        for name, stamp in now.items():
            path = self._folder.path / name
            if self._sent.get(name) == stamp or not path.exists():
                continue
            with telling(f"{self._url}/{name}"):
                _put_if_there(system, path, f"{root}/{name}")
            self._sent[name] = stamp
        for name in [name for name in self._sent if name not in now]:
            with telling(f"{self._url}/{name}"), contextlib.suppress(FileNotFoundError):
                system.rm_file(f"{root}/{name}")
            del self._sent[name]

    def _look(self) -> dict[str, tuple[int, int]]:
        """Size and time of change of each file; the result last, as with it a run is finished."""
        found, root = {}, self._folder.path
        tops = [top for top in root.iterdir() if top.name not in _UNSENT]
        paths = [path for top in tops for path in (top, *top.rglob("*")) if not path.name.startswith(".")]
        for path in sorted(paths, key=lambda path: (path == self._folder.optimal_config, path)):
            with contextlib.suppress(OSError):  # gone meanwhile
                if path.is_file():
                    found[path.relative_to(root).as_posix()] = (path.stat().st_size, path.stat().st_mtime_ns)
        return found


def _put_if_there(system: Any, path: Path, target: str) -> None:
    try:
        put_file(system, path, target)
    except FileNotFoundError:
        if path.exists():  # so it is the bucket that is missing
            raise


def collect(folder: RunFolder, path: Path) -> None:
    """Fetch what workers have sent into a folder of a run at a URL; elsewhere they have written it there.

    Args:
        folder: The run.
        path: The folder in it, of files.
    """
    if folder.url is None:
        return
    url = folder.share(path)
    try:
        system, root = open_storage(url)
        _get_all(system, root, url, path, [name for name in _list(system, root, url) if not (path / name).exists()])
    except StorageError as error:
        say(f"{error} The run goes on without.")


def _list(system: Any, root: str, url: str) -> list[str]:
    with telling(url):
        system.invalidate_cache()
        try:
            names = [posixpath.relpath(each, root) for each in system.find(root)]
        except FileNotFoundError:
            return []
    found = [name for name in names if name not in (LEASE, MIRRORED) and not name.rpartition("/")[2].startswith(".")]
    check_names(found, url)
    return found


def _get_all(system: Any, root: str, url: str, folder: Path, names: list[str]) -> None:
    def get(name: str) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        system.get_file(f"{root}/{name}", str(folder / name))

    with ThreadPoolExecutor(_THREADS) as pool, telling(url):
        for _done in pool.map(get, names):
            pass
