"""Say on stderr what takes long: a bar in a terminal, single lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")

_QUIET_S = 2.0


def say(text: str) -> None:
    """Print one line of progress on stderr."""
    print(text, file=sys.stderr, flush=True)


def track(items: Iterable[Item], what: str, total: int) -> Iterator[Item]:
    """Pass `items` through and show how far they are, once they take over two seconds."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import track as rich_track

        yield from rich_track(items, what, total, console=Console(stderr=True), transient=True)
        return
    last_said = time.monotonic()
    for done, item in enumerate(items):
        if time.monotonic() - last_said > _QUIET_S:
            say(f"{what}: {done} of {total}")
            last_said = time.monotonic()
        yield item
