"""Copy files and folders to and from object stores, so that a reader never meets half of one.

`push` and `pull` are for what one process writes and another one reads, such as a worker's weights:

    push(Path("/tmp/checkpoint"), "s3://bucket/runs/x/checkpoints/TRIAL/checkpoint-3")
    if pull("s3://bucket/runs/x/checkpoints/TRIAL/checkpoint-3", Path("/tmp/mine")):
        ...  # all of it is there

A folder lies at its URL as it is, with one object beside its files, `.complete`, which names them all. It is
written last and removed first; a folder without it is none.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from stt_tune.errors import StorageError
from stt_tune.files import write_atomically
from stt_tune.storage import check_names, has_folders, is_url, open_storage, telling

COMPLETE = ".complete"
_THREADS = 8
_ATTEMPTS = 3  # to read a folder that others keep writing


def push(path: Path, url: str) -> None:
    """Copy a file, or a folder with all that is in it, to a URL; what was there is replaced.

    One at a time may push to a URL. Whoever pulls meanwhile gets the old folder, the new one or none.

    Args:
        path: The file or folder.
        url: Its own, not that of the folder above.

    Raises:
        StorageError: The storage cannot be written.
        FileNotFoundError: There is nothing at `path`.
    """
    system, target = open_storage(url)
    if not path.is_dir():
        path.stat()
        with telling(url):
            put_file(system, path, target)
        return
    sizes = {str(each.relative_to(path)): each.stat().st_size for each in sorted(path.rglob("*")) if each.is_file()}
    before = _read_list(system, target, url)
    with telling(url):
        if before:
            system.rm_file(f"{target}/{COMPLETE}")
        _copy_all(lambda name: put_file(system, path / name, f"{target}/{name}"), sizes)
        for name in set(before["files"] if before else ()) - set(sizes):
            system.rm_file(f"{target}/{name}")
        told = {"id": uuid.uuid4().hex, "files": sizes}
        system.pipe_file(f"{target}/{COMPLETE}", json.dumps(told).encode())


def pull(url: str, path: Path) -> bool:
    """Copy a file or folder that `push` has put to a URL; what was at `path` is replaced, whole or not at all.

    Returns:
        Whether there is one; a folder that is not complete is none.

    Raises:
        StorageError: The storage cannot be read, or the folder never stayed as it was long enough.
        OSError: `path` cannot be written, or is a file where a folder was put, or the other way round.
    """
    system, source = open_storage(url)
    listed = _read_list(system, source, url)
    if listed is None:
        return _pull_file(system, source, url, path)
    _check_kind(path, is_folder=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    for _attempt in range(_ATTEMPTS):
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".pull-") as made:
            is_whole = _pull_folder(system, source, url, listed["files"], Path(made, "new"))
            again = _read_list(system, source, url)
            if again is None:
                return False
            if is_whole and again["id"] == listed["id"]:
                shutil.rmtree(path, ignore_errors=True)
                Path(made, "new").rename(path)
                return True
            listed = again
    raise StorageError(f"{url}: must stay as it is while it is read, and others keep writing it. Try again.")


def remove(url: str) -> None:
    """Delete a file or folder at a URL, if there is one; a folder is none from the start.

    Raises:
        StorageError: The storage cannot be written.
    """
    system, path = open_storage(url)
    with telling(url):
        system.invalidate_cache()
        for each in (f"{path}/{COMPLETE}", path):
            if system.exists(each):
                system.rm(each, recursive=True)


def leave(place: str, write: Callable[[Path], None]) -> None:
    """Let `write` make a file or folder at a path, or at a URL.

    Args:
        place: The path or URL.
        write: Is given a path; where `place` is a URL, one that is pushed there and then deleted.

    Raises:
        StorageError: The storage cannot be written.
        OSError: The path cannot.
    """
    if not is_url(place):
        write(Path(place))
        return
    with tempfile.TemporaryDirectory() as made:
        path = Path(made, place.rpartition("/")[2])
        write(path)
        push(path, place)


def put_file(system: Any, path: Path, target: str) -> None:
    """Copy a file to a place in a file system of fsspec."""
    if has_folders(system):
        system.makedirs(target.rpartition("/")[0], exist_ok=True)
    system.put_file(str(path), target)


def _read_list(system: Any, path: str, url: str) -> dict[str, Any] | None:
    """What the folder says of itself, all its files in it; None where it is none."""
    try:
        with telling(url, FileNotFoundError, NotADirectoryError):
            found: dict[str, Any] = json.loads(system.cat_file(f"{path}/{COMPLETE}"))
            check_names(found["files"], url)
            return found
    except (FileNotFoundError, NotADirectoryError):
        return None


def _pull_file(system: Any, source: str, url: str, path: Path) -> bool:
    try:
        with telling(url, FileNotFoundError):
            system.invalidate_cache()
            if not system.isfile(source):
                return False
        _check_kind(path, is_folder=False)
        with telling(url, FileNotFoundError):
            write_atomically(path, lambda temporary: system.get_file(source, str(temporary)))
    except FileNotFoundError:
        return False
    return True


def _check_kind(path: Path, *, is_folder: bool) -> None:
    """Refuse to put a folder in the place of a file, or a file in that of a folder and all that is in it."""
    if path.exists() and path.is_dir() != is_folder:
        number = errno.ENOTDIR if is_folder else errno.EISDIR
        raise OSError(number, os.strerror(number), str(path))


def _pull_folder(system: Any, source: str, url: str, sizes: dict[str, int], to: Path) -> bool:
    """Copy the files; give whether they are those that were pushed, as far as their sizes tell."""
    to.mkdir()

    def get(name: str) -> None:
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        system.get_file(f"{source}/{name}", str(to / name))

    try:
        with telling(url, FileNotFoundError):
            _copy_all(get, sizes)
    except FileNotFoundError:
        return False
    return all((to / name).stat().st_size == size for name, size in sizes.items())


def _copy_all(copy: Callable[[str], None], names: dict[str, int]) -> None:
    with ThreadPoolExecutor(_THREADS) as pool:
        for _done in pool.map(copy, names):
            pass
