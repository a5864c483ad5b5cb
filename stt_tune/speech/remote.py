"""Fetch manifests and audio from object stores, each once, into the user's cache."""

from __future__ import annotations

import hashlib
import posixpath
import shutil
import tempfile
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import platformdirs

from stt_tune.errors import ManifestError, StorageError, first_line
from stt_tune.files import write_atomically
from stt_tune.progress import track
from stt_tune.storage import check_names, cut_query, find_stamp, join_url, open_storage, telling

_THREADS = 32  # most of the time they wait for an answer
_LONGEST_SUFFIX = 12


def fetch_rows(url: str, saved: Collection[str]) -> Path:
    """Fetch what holds rows: a manifest's file; of a folder its metadata, or all of a data set's own.

    Args:
        url: The file or folder.
        saved: Names of files by which a data set's own folder is known.

    Returns:
        A file or a folder on this machine, with the names that it has there.

    Raises:
        ManifestError: There is none.
        StorageError: It cannot be reached.
    """
    system, path = open_storage(url)
    try:
        with telling(url, FileNotFoundError):
            system.invalidate_cache()  # it may have been asked before, in this process
            info = system.info(path)
            is_folder = info["type"] == "directory"
            names = [posixpath.relpath(each, path) for each in system.find(path)] if is_folder else []
    except FileNotFoundError as error:
        raise ManifestError(f"{url}: the manifest must be there, and is not. Check --data.") from error
    if not is_folder:
        return _fetch(system, path, url, info)
    if not any(name in saved for name in names):
        names = [name for name in names if posixpath.splitext(posixpath.basename(name))[0] == "metadata"]
    check_names(names, url)
    return _link(url, {name: join_url(url, name) for name in sorted(names)})


def fetch_clips(urls: Collection[str]) -> dict[str, Path | str]:
    """Fetch files that are not in the cache, or have changed, in parallel.

    Args:
        urls: Of files.

    Returns:
        For each URL its file, or why there is none.

    Raises:
        StorageError: Storage cannot be reached.
        OSError: The cache cannot be written.
    """
    places = [open_storage(url) for url in urls]  # here: each thread would be given connections of its own
    for system, _path in places:
        system.invalidate_cache()
    pool = ThreadPoolExecutor(_THREADS)
    try:
        found = pool.map(_try_to_fetch, urls, *zip(*places, strict=True))
        return dict(zip(urls, track(found, "fetching audio", len(urls)), strict=True))
    finally:
        pool.shutdown(cancel_futures=True)  # after Ctrl-C, nobody waits for what is left


def _try_to_fetch(url: str, system: Any, path: str) -> Path | str:
    try:
        with telling(url, FileNotFoundError, PermissionError):
            info = system.info(path)
    except FileNotFoundError:
        return "is no file"
    except PermissionError as error:
        return f"cannot be fetched ({first_line(error)})"
    return "is no file" if info["type"] == "directory" else _fetch(system, path, url, info)


def _fetch(system: Any, path: str, url: str, info: dict[str, Any]) -> Path:
    stamp = find_stamp(info)
    # another version is another file: who reads the old one is left alone
    name = f"{_hash(url)}-{_hash(str(stamp))}{_find_suffix(path)}"
    file = _cache() / name

    def write(temporary: Path) -> None:
        with telling(url):
            system.get_file(path, str(temporary))
            if info.get("size") not in (None, size := temporary.stat().st_size):
                raise OSError(f"{size} bytes came, {info['size']} were announced")

    if stamp is None or not file.exists():
        write_atomically(file, write)
    return file


def _find_suffix(path: str) -> str:
    """How a file's name ends, or else, as in `get?file=a.m4a`, its URL; messages tell of audio by it."""
    found = (posixpath.splitext(each)[1] for each in (cut_query(path), path))
    return next((each for each in found if each[1:].isalnum() and len(each) <= _LONGEST_SUFFIX), "")


def _link(url: str, urls: dict[str, str]) -> Path:
    """Fetch files, and give a folder in which they have their names."""
    found = fetch_clips(urls.values())
    for each, file in found.items():
        if isinstance(file, str):
            raise StorageError(f"{each}: {file}. Check the URL and the credentials.")
    folder = _cache() / _hash("\n".join((url, *map(str, found.values()))))
    if folder.is_dir():
        return folder
    _cache().mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=_cache()))
    for name, each in urls.items():
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).symlink_to(found[each])
    try:
        made.rename(folder)
    except OSError:  # someone was faster
        shutil.rmtree(made)
    return folder


def _cache() -> Path:
    return platformdirs.user_cache_path("stt_tune") / "fetched"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:24]
