"""Put the answers onto one page that needs nothing else."""

from __future__ import annotations

import functools
import importlib.metadata
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from plotly.offline import get_plotlyjs

from stt_tune.files import write_text
from stt_tune.results.plots.theme import build_template
from stt_tune.results.report.blocks import Figure, Section, plain
from stt_tune.results.report.comparison import compare_runs
from stt_tune.results.report.cost import answer_cost
from stt_tune.results.report.helped import answer_helped
from stt_tune.results.report.hours import answer_hours
from stt_tune.results.report.importance import find_surrogate
from stt_tune.results.report.learning import answer_learning
from stt_tune.results.report.matters import answer_matters
from stt_tune.results.report.provenance import answer_provenance
from stt_tune.results.report.record import RunRecord
from stt_tune.results.report.remaining import answer_remaining


@dataclass(frozen=True)
class Chapter:
    """One run's answers, or what several have in common.

    Attributes:
        name: Of the run; empty where the page is of one only.
        sections: The answers, in order.
    """

    name: str
    sections: tuple[Section, ...]


def answer_all(record: RunRecord) -> tuple[Section, ...]:
    """The answers of one run, in the order in which people ask."""
    surrogate = find_surrogate(record.completed, record.varied, record.column)
    return (
        answer_helped(record),
        answer_hours(record),
        answer_matters(record, surrogate),
        answer_learning(record),
        answer_remaining(record),
        answer_cost(record),
        answer_provenance(record),
    )


def write_report(records: Sequence[RunRecord], path: Path) -> list[Figure]:
    """Write the report of one run, or of several side by side.

    Args:
        records: The runs.
        path: The HTML file; it is written whole or not at all.

    Returns:
        The figures that it shows.

    Raises:
        OSError: It cannot be written.
    """
    if len(records) == 1:
        chapters = [Chapter("", answer_all(records[0]))]
    else:
        common = Chapter("", (compare_runs(records),))
        chapters = [common, *(Chapter(plain(each.name), answer_all(each)) for each in records)]
    write_text(path, render(chapters, [plain(each.name) for each in records]))
    return [
        part for each in chapters for section in each.sections for part in section.parts if isinstance(part, Figure)
    ]


def render(chapters: Sequence[Chapter], names: Sequence[str]) -> str:
    """The page as HTML, with its styles, scripts and data in it."""
    return _load_template().render(
        chapters=chapters,
        names=names,
        style=_read("page.css"),
        script=_read("page.js"),
        plotly=get_plotlyjs(),
        themes=_to_json({"light": build_template(), "dark": build_template(dark=True)}),
        figure_json=lambda figure: _to_json(_describe(figure)),
        written_at=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        version=importlib.metadata.version("stt-tune"),
    )


def _describe(figure: Figure) -> dict[str, Any]:
    """What the page needs of a figure: its template is the page's."""
    described: dict[str, Any] = json.loads(figure.plot.to_json())
    described["layout"].pop("template", None)
    return described


def _to_json(document: Any) -> str:
    """JSON that may stand in a script element: no text in it can end that."""
    text = json.dumps(document, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


@functools.cache
def _load_template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    return environment.from_string(_read("page.html.jinja"))


def _read(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
