"""A clip of audio, wherever its bytes are."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class FileClip:
    """A clip in a file of its own.

    Attributes:
        name: The path as the row has it.
        path: Absolute.
        url: Where it was fetched from, if it was.
    """

    name: str
    path: Path
    url: str | None = None

    @property
    def location(self) -> str:
        """What another manifest would call it."""
        return self.url or str(self.path.absolute())

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
class DatasetClip:
    """A clip whose bytes stand in a row of a data set; they are read when they are needed.

    Attributes:
        name: The path as the row has it, after the row's number: splits may call their clips alike.
        dataset: Of `datasets`, with the column's audio not decoded.
        row: Its place in it, from 0.
        column: Where its audio is.
    """

    name: str
    dataset: Any = field(repr=False)
    row: int
    column: str

    def open(self) -> io.BufferedIOBase:
        """Read the row's bytes.

        Raises:
            ValueError: There are none.
        """
        value = self.dataset[self.row][self.column]
        data = value if isinstance(value, bytes) else value["bytes"]
        if data is None:
            raise ValueError("has no bytes in its row")
        return io.BytesIO(data)

    def stamp(self) -> str | None:
        """The data set's fingerprint, which changes with whatever is in it, and the row."""
        return f"{self.dataset._fingerprint}:{self.row}"


Clip = FileClip | DatasetClip
