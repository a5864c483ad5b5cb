"""A clip of audio, wherever its bytes are."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class FileClip:
    """A clip in a file of its own.

    Attributes:
        name: The path as the row has it.
        path: Absolute.
    """

    name: str
    path: Path

    def open(self) -> io.BufferedIOBase:
        """Open the file.

        Raises:
            ValueError: It is none, or cannot be read.
        """
        try:
            if not self.path.is_file():
                raise ValueError("is no file")
            return self.path.open("rb")
        except OSError as error:  # such as a link to itself
            raise ValueError(f"cannot be opened ({error.strerror})") from error

    def stamp(self) -> str | None:
        """Path, size and time of change: they change when the bytes do; None where there is no file."""
        try:
            found = self.path.stat()
        except OSError:
            return None
        return f"{self.path}:{found.st_size}:{found.st_mtime_ns}"


@dataclass(frozen=True, slots=True)
class BytesClip:
    """A clip whose bytes stand in the row.

    Attributes:
        name: The path as the row has it.
        data: An audio file's bytes.
    """

    name: str
    data: bytes = field(repr=False)

    def open(self) -> io.BufferedIOBase:
        """Open the bytes."""
        return io.BytesIO(self.data)

    def stamp(self) -> str | None:
        """A hash of the bytes."""
        return hashlib.sha256(self.data).hexdigest()


Clip = FileClip | BytesClip
