"""What a section of the report is made of; the template knows how each looks."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, ClassVar

from stt_tune.results.plots.theme import make_visible


@dataclass(frozen=True)
class Piece:
    """Some words of a transcript.

    Attributes:
        text: The words.
        change: `same`, `substituted`, `missing` or `extra`.
    """

    text: str
    change: str = "same"


@dataclass(frozen=True)
class Figure:
    """A picture.

    Attributes:
        name: Of its file, if it becomes one.
        title: What it shows.
        caption: What is to be seen in it, for those who do not see it, too.
        plot: A Plotly figure.
    """

    kind: ClassVar[str] = "figure"
    name: str
    title: str
    caption: str
    plot: Any

    @property
    def least_width(self) -> int:
        """Pixels below which it is not squeezed but scrolled; 0: any width does."""
        return int((self.plot.layout.meta or {}).get("least_width", 0))


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        caption: What it shows.
        header: Names of the columns.
        rows: Texts, or the pieces of transcripts.
        is_folded: Whether it is shown on request only.
    """

    kind: ClassVar[str] = "table"
    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    is_folded: bool = False


@dataclass(frozen=True)
class Listing:
    """A text as it stands in a file.

    Attributes:
        caption: Which one.
        text: What it holds.
    """

    kind: ClassVar[str] = "listing"
    caption: str
    text: str


@dataclass(frozen=True)
class Section:
    """The answer to one question.

    Attributes:
        question: The heading.
        answer: Sentences, a paragraph each; the first one is the answer in short.
        parts: What shows it.
    """

    question: str
    answer: tuple[str, ...]
    parts: tuple[Figure | Table | Listing, ...] = ()

    @property
    def anchor(self) -> str:
        """What links to it."""
        return re.sub(r"[^a-z]+", "-", self.question.lower()).strip("-")


def rate(value: float | None) -> str:
    """A value of the objective, or a dash where there is none.

    >>> rate(0.0571429), rate(None), rate(123456.0)
    ('0.0571', '-', '1.235e+05')
    """
    if value is None or not math.isfinite(value):
        return "-"
    return f"{value:.4f}" if 1e-3 <= abs(value) < 1e4 or value == 0 else f"{value:.4g}"


def hours(seconds: float) -> str:
    """A time in the unit that suits it.

    >>> hours(50), hours(300), hours(9000)
    ('50 s', '5.0 min', '2.50 h')
    """
    minute, hour = 60, 3600
    if seconds < 2 * minute:
        return f"{seconds:.0f} s"
    return f"{seconds / minute:.1f} min" if seconds < hour else f"{seconds / hour:.2f} h"


def plain(text: Any) -> str:
    """A text of whatever source, with characters that would change its surroundings made visible."""
    return make_visible(str(text))
