"""Which errors remain?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pandas as pd

from stt_tune.results.plots.remaining import plot_before_and_after
from stt_tune.results.report.alignment import align
from stt_tune.results.report.blocks import Figure, Section, Table, plain, rate
from stt_tune.results.report.record import RunRecord
from stt_tune.results.report.transcripts import Heard, find_heard, find_wer, find_worst, tabulate_by, tabulate_types
from stt_tune.results.trials import COMPLETED

QUESTION = "Which errors remain?"
_WORST = 12
_SPEAKERS = 20
_KIND = "wer_"


def answer_remaining(record: RunRecord) -> Section:
    """Errors by type, by the kind of case, by speaker; the worst utterances, word by word."""
    heard = find_heard(record)
    kinds = _tabulate_kinds(record)
    if heard is None:
        text = "Nobody kept what was heard: no trial of speech was completed, or its training is of your own."
        return Section(QUESTION, (text,), kinds)
    parts: list[Figure | Table] = [
        _draw_types(heard),
        *_draw_groups(heard, "kind"),
        *kinds,
        *_draw_groups(heard, "speaker"),
    ]
    worst = find_worst(heard, _WORST)
    if len(worst):
        parts.append(_tabulate_worst(heard, worst))
    return Section(QUESTION, tuple(_describe(heard, worst)), tuple(parts))


def _describe(heard: Heard, worst: pd.DataFrame) -> Iterator[str]:
    types = tabulate_types(heard)
    after = types[types["system"] == heard.names[1]]
    largest = after.sort_values("rate").iloc[-1]
    change = f", after {plain(heard.names[0])}'s {rate(find_wer(heard.before))}" if heard.before is not None else ""
    if not after["rate"].sum():
        yield f"None on {heard.where}: {plain(heard.names[1])} makes no error there{change}."
    else:
        yield (
            f"On {heard.where}, {plain(heard.names[1])} has a WER of {rate(find_wer(heard.after))}{change}. Most of "
            f"what remains are {largest['group']} ({rate(largest['rate'])} per word)."
        )
    utterances = heard.after["id"].nunique()
    if len(worst):
        yield f"{len(worst)} of {utterances} utterances, the worst ones, are below, word by word."
    if "speaker" not in heard.after or not heard.after["speaker"].notna().any():
        yield "The run does not know who speaks, so there are no figures by speaker."


def _draw_types(heard: Heard) -> Figure:
    types = tabulate_types(heard)
    return Figure(
        "errors_by_type",
        "Errors by type",
        f"Errors per word of the references on {heard.where}: {_tell(types)}.",
        plot_before_and_after(types, "errors per word"),
    )


def _draw_groups(heard: Heard, column: str) -> Iterator[Figure]:
    rates = tabulate_by(heard, column)
    if rates.empty:
        return
    groups = list(dict.fromkeys(rates["group"]))
    shown = rates[rates["group"].isin(groups[:_SPEAKERS])]
    titles = {"kind": "WER by the kind of error that production makes", "speaker": "WER by speaker"}
    more = f", the worst {_SPEAKERS} of {len(groups)}" if len(groups) > _SPEAKERS else ""
    yield Figure(
        f"wer_by_{column}",
        titles[column],
        f"On {heard.where}{more}: {_tell(shown)}.",
        plot_before_and_after(shown, "WER"),
    )


def _tell(rates: pd.DataFrame) -> str:
    """Rates in words, a group after the other."""
    return "; ".join(
        f"{plain(group)} "
        + ", ".join(f"{rate(row['rate'])} ({plain(row['system'])})" for row in part.to_dict("records"))
        for group, part in rates.groupby("group", sort=False)
    )


def _tabulate_kinds(record: RunRecord) -> tuple[Table, ...]:
    """For each kind of case, the trial that is best on dev's cases of it; none of a training of one's own."""
    if not record.is_speech:
        return ()
    columns = [each for each in record.table.metrics if each.startswith(_KIND)]
    own = (record.optimal or {}).get("by_error_type", {})
    general = "the general one" if record.optimal else "-"
    rows: list[tuple[Any, ...]] = []
    for column in columns:
        done = [each for each in record.table.trials if each.status == COMPLETED and math.isfinite(each.last(column))]
        if not done:
            continue
        best, kind = (
            min(done, key=lambda each: (each.last(column), each is not record.best)),
            column.removeprefix(_KIND),
        )
        confirmed = own.get(kind, {}).get("number")
        note = f"trial {confirmed}, better beyond chance" if confirmed is not None else general
        systems = [best, record.best, record.default]
        rows.append(
            (kind, f"trial {best.number}", *(rate(each.last(column) if each else None) for each in systems), note)
        )
    if not rows:
        return ()
    header = ("kind of error", "best trial", "its WER on dev", "best overall", "default", "in optimal_config.json")
    caption = (
        "The best configuration for each kind of error; dev chose it, `stt-tune export --per-error-type` checks it"
    )
    return (Table(caption.replace("`", ""), header, tuple(rows)),)


def _tabulate_worst(heard: Heard, worst: pd.DataFrame) -> Table:
    rows = []
    for row in worst.to_dict("records"):
        reference, hypothesis, told = align(row["reference"], row["hypothesis"])
        before = [] if heard.before is None else [align(row["reference"], str(row["before"]))[1]]
        who = [plain(each) for each in (row["id"], row["speaker"]) if isinstance(each, str)]
        rows.append((", ".join(who), f"{row['errors']:g}", reference, hypothesis, told, *before))
    header = ["utterance", "errors", "said", f"{heard.names[1]} heard", "differences"]
    if heard.before is not None:
        header.append(f"{heard.names[0]} heard")
    caption = f"The worst utterances on {heard.where}; errors are means over trainings"
    return Table(caption, tuple(map(plain, header)), tuple(rows))
