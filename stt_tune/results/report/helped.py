"""Did tuning help, and by how much?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from stt_tune.results.confirmation import BASE_MODEL
from stt_tune.results.plots.outcomes import DEV, HELD_OUT, plot_rates
from stt_tune.results.report.blocks import Figure, Section, Table, plain, rate
from stt_tune.results.report.record import RunRecord
from stt_tune.results.statistics import format_p_value

QUESTION = "Did tuning help, and by how much?"
_KEPT = {"default_kept": "default", "incumbent_kept": "incumbent"}


def answer_helped(record: RunRecord) -> Section:
    """What held-out speech says of default and winner, with what dev promised beside it."""
    held_out = (record.optimal or {}).get("held_out")
    if not record.optimal or not held_out:
        return Section(QUESTION, tuple(_describe_dev(record)))
    short = _conclude(record.optimal, held_out)
    return Section(QUESTION, (short, *record.verdict), (_draw(record, held_out), _tabulate(held_out, record.metric)))


def _describe_dev(record: RunRecord) -> Iterator[str]:
    best, default = record.best, record.default
    if record.is_speech:
        yield "This is not known yet: nothing has been measured on held-out speech."
    else:
        yield "Only as far as dev can tell: a training function of one's own is not measured on held-out speech."
    if best is None:
        yield "No trial was completed, so there is no result on dev either."
    elif best.is_default or default is None:
        which = "the default configuration" if best.is_default else f"trial {best.number}"
        yield f"On dev the best completed trial is {which}, {record.metric} {rate(best.last(record.metric))}."
    else:
        value, before = best.last(record.metric), default.last(record.metric)
        yield (
            f"On dev the best completed trial is {best.number}, {record.metric} {rate(value)}; the default has "
            f"{rate(before)}. Dev chose it, and so flatters it."
        )
    if record.is_running:
        yield "The run goes on, and this page says how it stood."
    elif record.how_to_go_on:
        yield record.how_to_go_on


def _conclude(document: Mapping[str, Any], held_out: Mapping[str, Any]) -> str:
    decision, reference = document["decision"], held_out["compared_with"]
    if decision in _KEPT:
        return f"No gain that is sure: the {_KEPT[decision]} configuration is kept."
    low, high = held_out["interval"]
    return (
        f"Yes: on held-out speech the WER is {rate(held_out['wer'])} instead of the {reference}'s "
        f"{rate(held_out[f'{reference}_wer'])}, a relative gain of {held_out['relative_gain']:.0%} (95 % interval "
        f"{low:.0%} to {high:.0%})."
    )


def _draw(record: RunRecord, held_out: Mapping[str, Any]) -> Figure:
    rows = [*_list_held_out(held_out), *_list_dev(record)]
    frame = pd.DataFrame(rows, columns=["system", "measured_on", "value", "low", "high"])
    caption = "; ".join(
        f"{row[0]} on {row[1]} {rate(row[2])}"
        + (f" ({rate(row[3])} to {rate(row[4])})" if math.isfinite(row[3]) else "")
        for row in rows
    )
    return Figure(
        "did_tuning_help",
        "WER on held-out speech, and on dev, which chose",
        f"{caption}. Bars are 95 % intervals; that on dev is of the one training that the search saw.",
        plot_rates(frame, "WER"),
    )


def _list_held_out(held_out: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    rows = [
        (each["name"], HELD_OUT, each["wer"], *each["wer_interval"])
        for each in held_out["systems"]
        if each["wer"] is not None
    ]
    if _has_base(held_out):
        rows.insert(0, (BASE_MODEL, HELD_OUT, held_out["base_wer"], *held_out["base_wer_interval"]))
    return rows


def _list_dev(record: RunRecord) -> list[tuple[Any, ...]]:
    """What dev said of the same systems, where it is a WER."""
    document = record.optimal or {}
    names = {"default": "default", "winner": f"trial {(document.get('winner') or {}).get('number')}"}
    return [
        (name, DEV, measured["wer"], *measured["interval"])
        for key, name in names.items()
        if (measured := (document.get("dev") or {}).get(key))
    ]


def _tabulate(held_out: Mapping[str, Any], metric: str) -> Table:
    header = (
        "configuration",
        "WER",
        "95 % interval",
        f"gain over the {held_out['compared_with']}",
        "95 % interval of the gain",
        "p",
        "gain that dev promised" if metric == "wer" else f"gain in {plain(metric)} that dev promised",
        "training",
    )
    rows = [_describe(each) for each in held_out["systems"]]
    if _has_base(held_out):
        low, high = held_out["base_wer_interval"]
        wer, interval = rate(held_out["base_wer"]), f"{rate(low)} to {rate(high)}"
        rows.insert(0, (f"{BASE_MODEL}, untrained", wer, interval, *["-"] * 5))
    return Table("Configurations on held-out speech", header, tuple(rows))


def _has_base(held_out: Mapping[str, Any]) -> bool:
    """Runs of 0.1.0 have none."""
    return "base_wer" in held_out


def _describe(system: Mapping[str, Any]) -> tuple[str, ...]:
    if system["wer"] is None:
        return (system["name"], "-", system["objection"], *["-"] * 5)
    gain = ("-", "-", "-")
    if "relative_gain" in system:
        low, high = system["interval"]
        gain = (f"{system['relative_gain']:+.1%}", f"{low:+.1%} to {high:+.1%}", format_p_value(system["p_value"]))
    promised = f"{system['promised_gain']:+.1%}" if "promised_gain" in system else "-"
    low, high = system["wer_interval"]
    seconds = f"{system['training_s']:.0f} s"
    return (system["name"], rate(system["wer"]), f"{rate(low)} to {rate(high)}", *gain, promised, seconds)
