"""A row that describes an utterance, as it was read."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stt_tune.speech.clip import Clip


@dataclass(frozen=True, slots=True)
class Row:
    """One row, before it is checked.

    Attributes:
        line: Its line or number in the source, from 1.
        fields: By our names; what the source does not have is missing.
        clip: Its audio; None where the row names none.
        problem: Why it could not be read; `fields` then hold what could.
        folder: What its paths are relative to, from the source's folder on.
    """

    line: int
    fields: Mapping[str, Any]
    clip: Clip | None = None
    problem: str | None = None
    folder: str = ""


def show(value: object) -> str:
    """A value as messages tell it: what takes no words, such as bytes or samples, is not told whole.

    >>> show("one two"), show([0.1] * 100)
    ("'one two'", '[0.1, 0.1, 0.1, 0.1, 0.1, 0.1, ...]')
    """
    return _SHORT.repr(value)


_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 200
