"""Write files so that a reader, or a crash, never meets half of one."""

from __future__ import annotations

import errno
import glob
import json
import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stt_tune.errors import SettingsError

_UNFINISHED = ".tmp"
_FULL = (errno.ENOSPC, errno.EDQUOT)


def look(path: Path) -> os.stat_result | None:
    """Give what the system says of a path; None where there is nothing.

    Raises:
        SettingsError: It may not be looked at, or cannot be a path, such as one that is too long.
    """
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise SettingsError(
            f"{path}: must be a path that can be looked at, and is not ({error.strerror}). Name another, or have its "
            "permissions changed."
        ) from error


def is_folder(path: Path) -> bool:
    """Whether there is a folder.

    Raises:
        SettingsError: The path cannot be looked at.
    """
    found = look(path)
    return found is not None and stat.S_ISDIR(found.st_mode)


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file beside `path`, then move it over `path`.

    A file that is replaced keeps its permissions; a new one has those that the umask leaves.

    Raises:
        OSError: The folder cannot be written or the disk is full; `path` is then unchanged, and what the error names.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    mode = path.stat().st_mode & 0o777 if path.exists() else None
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{_UNFINISHED}")
    try:
        temporary.touch(0o666 if mode is None else mode | 0o600, exist_ok=False)
        write(temporary)
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        if mode is not None:
            temporary.chmod(mode)
        temporary.replace(path)
    except OSError as error:
        is_of_temporary = error.filename is not None and Path(error.filename) == temporary
        if is_of_temporary or (error.filename is None and error.errno in _FULL):
            error.filename = str(path)  # who reads of it knows no other, and a full disk names none
        raise
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(path: Path) -> None:
    """Remove temporary files that writers of `path` left as they died; nobody may be writing it."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*{_UNFINISHED}"):
        left.unlink(missing_ok=True)


def write_json(path: Path, document: Any) -> None:
    """Write `document` as indented JSON with sorted keys, atomically; NaN is refused."""
    text = json.dumps(document, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False)
    write_text(path, text + "\n")


def write_lines(path: Path, lines: list[str]) -> None:
    """Write one text line per item, atomically."""
    write_text(path, "".join(f"{line}\n" for line in lines))


def write_text(path: Path, text: str) -> None:
    """Write text, atomically."""

    def write(file: Path) -> None:
        file.write_text(text, encoding="utf-8")

    write_atomically(path, write)
