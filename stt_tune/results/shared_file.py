"""One small file that many processes read and write, on a disk, on NFS, or in an object store."""

from __future__ import annotations

import contextlib
import random
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from filelock import FileLock, Timeout

from stt_tune.errors import SharedFileError, SttTuneError, first_line
from stt_tune.files import remove_leftovers, write_text
from stt_tune.storage import tell_missing

Change = Callable[[str | None], str]
"""From what a file holds, None if there is none, to what it is to hold. May be called more than once."""

_CREATING = {"gs", "gcs", "az", "abfs", "abfss", "memory"}
_LEFT_S = 30.0  # a lock in an object store that has not changed for so long was left by a writer that died


class SharedFile(Protocol):
    """A file of text; readers meet it whole, as it was before a write or after."""

    def read(self) -> str | None:
        """What it holds; None if there is none.

        Raises:
            SharedFileError: It cannot be read.
        """

    def stamp(self) -> str | None:
        """Changes whenever the file does; None if there is none.

        Raises:
            SharedFileError: It cannot be reached.
        """

    def update(self, change: Change, timeout_s: float) -> None:
        """Put in the place of what it holds what `change` makes of it; no other writer's work is lost.

        Raises:
            SharedFileError: It cannot be written, or others kept writing for `timeout_s`.
        """


def locate_shared(location: str | Path) -> str:
    """A path or URL, so that it is found from any folder."""
    return str(location) if "://" in str(location) else str(Path(location).absolute())


def open_shared(location: str | Path) -> SharedFile:
    """Find the file at a path, or at a URL that fsspec knows: `s3://bucket/optimal_config.json`.

    Raises:
        SharedFileError: What the URL needs is not installed.
    """
    text = str(location)
    if "://" not in text or text.startswith("file://"):
        # what a link points to is what is locked and written
        return _Local(Path(text.removeprefix("file://")), Path(text.removeprefix("file://")).resolve())
    import fsspec

    with _told(text):
        system, path = fsspec.url_to_fs(text)
    return (_S3 if "s3" in system.protocol else _Remote)(text, system, path)


@dataclass(frozen=True)
class _Local:
    name: Path
    path: Path

    def read(self) -> str | None:
        with _told(self.name):
            try:
                return self.path.read_text(encoding="utf-8")
            except FileNotFoundError:
                return None

    def stamp(self) -> str | None:
        with _told(self.name):
            try:
                found = self.path.stat()
            except FileNotFoundError:
                return None
        return f"{found.st_ino}-{found.st_size}-{found.st_mtime_ns}"  # each write makes a new inode

    def update(self, change: Change, timeout_s: float) -> None:
        with self._locked(timeout_s):
            after = _apply(change, self.read)
            with _told(self.name):
                remove_leftovers(self.path)
                write_text(self.path, after)

    @contextlib.contextmanager
    def _locked(self, timeout_s: float) -> Iterator[None]:
        with _told(self.name):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            file = self.path.with_name(f".{self.path.name}.lock")
            lock = FileLock(file, timeout=timeout_s)
            try:
                lock.acquire()
            except Timeout as error:
                raise _busy(self.name, timeout_s) from error
            with contextlib.suppress(PermissionError):  # another user's, who has seen to it
                # whoever may write in the folder may take turns
                file.chmod(self.path.parent.stat().st_mode & 0o666)
        try:
            yield
        finally:
            lock.release()


@dataclass(frozen=True)
class _Remote:
    """In a store where only the creation of a file can be made to depend on what is there.

    What fsspec calls so elsewhere looks and then writes, so that two may do it at once.
    """

    url: str
    system: Any
    path: str

    @property
    def _protocols(self) -> tuple[str, ...]:
        names = self.system.protocol
        return (names,) if isinstance(names, str) else tuple(names)

    def read(self) -> str | None:
        found = self._peek(self.path)
        with _told(self.url):
            return None if found is None else found.decode()

    def stamp(self) -> str | None:
        with _told(self.url):
            self.system.invalidate_cache()
            if "http" in self._protocols:
                return None  # fsspec takes such files for unchanging
            try:
                return str(self.system.ukey(self.path))
            except FileNotFoundError:
                return None

    def update(self, change: Change, timeout_s: float) -> None:
        if _CREATING.isdisjoint(self._protocols):
            raise SharedFileError(
                f"{self.url}: can be read, and not be written by several at once. Use a path, s3://, gs:// or az://."
            )
        lock, own = f"{self.path}.lock", uuid.uuid4().bytes
        with self._locked(lock, own, timeout_s):
            after = _apply(change, self.read)
            if self._peek(lock) != own:  # `change` took so long that others thought we had died
                raise _busy(self.url, timeout_s)
            with _told(self.url):
                self.system.pipe_file(self.path, after.encode())

    @contextlib.contextmanager
    def _locked(self, lock: str, own: bytes, timeout_s: float) -> Iterator[None]:
        start = since = time.monotonic()
        seen: bytes | None = None
        while not self._create(lock, own):
            now = time.monotonic()
            if now - start > timeout_s:
                raise _busy(self.url, timeout_s)
            holder = self._peek(lock)
            if holder != seen:
                seen, since = holder, now
            elif holder and now - since > _LEFT_S:
                self._remove(lock, holder)
            _wait()
        try:
            yield
        finally:
            self._remove(lock, own)

    def _create(self, path: str, content: bytes) -> bool:
        with _told(self.url):
            try:
                self.system.pipe_file(path, content, mode="create")
            except FileExistsError:
                return False
        return True

    def _peek(self, path: str) -> bytes | None:
        with _told(self.url):
            try:
                return bytes(self.system.cat_file(path))
            except FileNotFoundError:
                return None

    def _remove(self, path: str, content: bytes) -> None:
        if self._peek(path) == content:
            with _told(self.url), contextlib.suppress(FileNotFoundError):
                self.system.rm_file(path)


@dataclass(frozen=True)
class _S3(_Remote):
    """In S3, where a write can be made to depend on what is there: no lock, so none is ever left."""

    def update(self, change: Change, timeout_s: float) -> None:
        start = time.monotonic()
        while not self._try_to_update(change):
            if time.monotonic() - start > timeout_s:
                raise _busy(self.url, timeout_s)
            _wait()

    def _try_to_update(self, change: Change) -> bool:
        # the tag first: should the file change before it is read, the write is refused, and done again
        with _told(self.url):
            try:
                found = {"IfMatch": self.system.info(self.path, refresh=True)["ETag"]}
            except FileNotFoundError:
                found = {"IfNoneMatch": "*"}
        before = self.read() if "IfMatch" in found else None
        after = change(before)
        with _told(self.url):
            try:
                self.system.pipe_file(self.path, after.encode(), **found)
            except OSError as error:
                if "PreconditionFailed" in repr(error.__cause__) or "ConditionalRequest" in repr(error.__cause__):
                    return False
                raise
        return True


def _apply(change: Change, read: Callable[[], str | None]) -> str:
    """Compare and swap: what was written without our lock while `change` was at work is not lost, either."""
    while True:
        before = read()
        after = change(before)
        if read() == before:
            return after


@contextlib.contextmanager
def _told(where: object) -> Iterator[None]:
    try:
        yield
    except SttTuneError:
        raise
    except Exception as error:  # every store's library has its own kinds
        message = f"{where}: must be a file that can be read and written ({first_line(error)})."
        raise SharedFileError(tell_missing(where, error) or message) from error


def _busy(where: object, timeout_s: float) -> SharedFileError:
    return SharedFileError(
        f"{where}: others have been writing it for {timeout_s:g} s. Nothing of yours was written; try again."
    )


def _wait() -> None:
    time.sleep(random.uniform(0.02, 0.2))  # so that writers do not meet again
