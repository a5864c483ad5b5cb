"""Object stores and other storage behind URLs that fsspec knows, such as `s3://bucket/manifest.jsonl`."""

from __future__ import annotations

import contextlib
import errno
import posixpath
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from stt_tune.errors import StorageError, SttTuneError, first_line

_LOCAL = "file://"
# What tells that an object is another one than before, as the kinds of storage call it.
_STAMPS = ("ETag", "etag", "mtime", "LastModified", "last_modified", "updated", "modificationTime", "created")
_WEB = ("http://", "https://")
_WITHOUT_FOLDERS = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss"}
_OWN_DISK = (errno.ENOSPC, errno.EDQUOT)


def is_url(location: object) -> bool:
    """Whether it is a URL of storage that is no path on this machine.

    >>> [is_url(each) for each in ("s3://bucket/a.jsonl", "data/a.jsonl", "file:///data/a.jsonl", "hf:NAME")]
    [True, False, False, False]
    """
    return "://" in str(location) and not str(location).startswith(_LOCAL)


def as_path(location: str) -> str:
    """A path on this machine that may be written as a URL, as a path.

    >>> as_path("file:///data/a.jsonl"), as_path("data/a.jsonl")
    ('/data/a.jsonl', 'data/a.jsonl')
    """
    return location.removeprefix(_LOCAL)


def cut_query(url: str) -> str:
    """A URL without what web servers are told behind a file's name, such as a signature.

    >>> cut_query("https://host/1.wav?X-Amz-Signature=a.b#t=1"), cut_query("s3://bucket/why?.wav")
    ('https://host/1.wav', 's3://bucket/why?.wav')
    """
    return url.partition("#")[0].partition("?")[0] if url.startswith(_WEB) else url


def join_url(folder: str, name: str) -> str:
    """The URL of what a folder calls `name`.

    >>> join_url("s3://bucket/speech", "../clips/1.flac")
    's3://bucket/clips/1.flac'
    """
    scheme, _, path = cut_query(folder).partition("://")
    return f"{scheme}://{posixpath.normpath(posixpath.join(path, name))}"


def check_names(names: Iterable[str], url: str) -> None:
    """Make sure that files which are called so in a folder lie in it, here as there.

    Whoever can write the storage chooses the names, and they become paths on this machine.

    Args:
        names: As the storage gives them, from the folder on.
        url: Of the folder.

    Raises:
        StorageError: One of them leads elsewhere.
    """
    for name in names:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or not path.parts:
            raise StorageError(
                f"{url}: must hold files whose names lie in it, found {name!r}. Nothing of that was fetched; find out "
                "who else can write there."
            )


def open_storage(url: str) -> tuple[Any, str]:
    """Find the file system of a URL, and the path in it.

    Raises:
        StorageError: There is no such kind of storage, or what it needs is not installed.
    """
    import fsspec

    with telling(url):
        system, path = fsspec.url_to_fs(url)
    return system, path


def has_folders(system: Any) -> bool:
    """Whether files need folders that are made before; in an object store, to make one may be to make a bucket."""
    names = system.protocol
    return _WITHOUT_FOLDERS.isdisjoint((names,) if isinstance(names, str) else names)


def find_stamp(info: Mapping[str, Any]) -> str | None:
    """What changes whenever the file does, by what its storage says of it; None where it says nothing.

    fsspec's own `ukey` is another one for one file, by whether it was listed or asked for.

    Args:
        info: As a file system of fsspec gives it.
    """
    stamp = next((info[name] for name in _STAMPS if info.get(name) is not None), None)
    return None if stamp is None else f"{info.get('size')}:{stamp}"


def tell_missing(where: object, error: Exception) -> str | None:
    """Say what to install, where an error is that of a library which is not there; None where it is another."""
    if isinstance(error, ImportError | ValueError) and "install" in str(error).lower():
        return f"{where}: needs a library ({error}). For s3:// and gs:// install stt-tune[s3] or stt-tune[gcs]."
    return None


@contextlib.contextmanager
def telling(url: str, *passed: type[OSError]) -> Iterator[None]:
    """Say of whatever storage refuses inside the block where it is, and what to do.

    Args:
        url: The file or folder.
        passed: Kinds of errors that go through as they are.

    Raises:
        StorageError: It was not reached.
        OSError: One of `passed`, or this machine's own disk is full.
    """
    try:
        yield
    except SttTuneError:
        raise
    except passed:
        raise
    except Exception as error:  # every store's library has its own kinds
        if isinstance(error, OSError) and error.errno in _OWN_DISK:
            raise
        if missing := tell_missing(url, error):
            message = missing
        elif "Protocol not known" in str(error):
            message = f"{url}: must be a URL such as s3:// or gs://, found another ({first_line(error)})."
        else:
            message = (
                f"{url}: must be storage that can be reached, and is not ({first_line(error)}). Check the URL, the "
                "network and the credentials."
            )
        raise StorageError(message) from error
