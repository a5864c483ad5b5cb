"""Several runs side by side."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from stt_tune.results.plots.curves import plot_progress
from stt_tune.results.plots.outcomes import DEV, HELD_OUT, plot_rates
from stt_tune.results.report.blocks import Figure, Section, Table, plain, rate
from stt_tune.results.report.hours import count_hours
from stt_tune.results.report.record import RunRecord

QUESTION = "How do the runs compare?"


def compare_runs(records: Sequence[RunRecord]) -> Section:
    """The runs' results in one figure and one table, and their best hyperparameters in another."""
    parts: list[Figure | Table] = []
    rates = find_rates(records)
    if not rates.empty:
        caption = "; ".join(
            f"{plain(row['system'])} on {row['measured_on']} {rate(row['value'])}" for row in rates.to_dict("records")
        )
        parts.append(Figure("comparison", _name(rates), f"{caption}.", plot_rates(rates, "WER")))
    parts += [tabulate_runs(records), *_draw_progress(records), *_tabulate_hyperparameters(records)]
    return Section(QUESTION, tuple(_describe(records)), tuple(parts))


def _name(rates: pd.DataFrame) -> str:
    """Say what the picture shows, by what the runs were measured on."""
    places = set(rates["measured_on"])
    if places == {HELD_OUT}:
        return "The best of each run on speech that it did not see, and what it had to beat"
    if places == {DEV}:
        return "The best of each run on dev, which chose it"
    return "The best of each run, and what it had to beat; on dev, which chose it, where no other speech was asked"


def _describe(records: Sequence[RunRecord]) -> list[str]:
    known = {each.measured_on for each in records if each.measured_on}
    if len(known) > 1:
        return [
            "They ran on different data, or were measured otherwise: their error rates cannot be compared with each "
            "other, only the gains within each run."
        ]
    told = []
    best = [(each.best.last(each.metric), each) for each in records if each.best]
    if _have_one_objective(records) and best:
        mode = records[0].mode
        value, record = (min if mode == "min" else max)(best, key=lambda pair: pair[0])
        told.append(f"The best {plain(record.metric)} on dev is that of {plain(record.name)}: {rate(value)}.")
    else:
        told.append("The runs have no objective in common, or no results.")
    if all(each.measured_on for each in records):
        return [*told, "All ran on the same data and were measured alike."]
    return [
        *told,
        "Whether they ran on the same data and were measured alike is not known, as a training of one's own does not "
        "say what it uses. Only if they did can their results be compared.",
    ]


def _have_one_objective(records: Sequence[RunRecord]) -> bool:
    return len({(each.metric, each.mode) for each in records}) == 1


def find_rates(records: Sequence[RunRecord]) -> pd.DataFrame:
    """The best of each run and what it had to beat, as `plot_rates` takes them."""
    return pd.DataFrame(_list_rates(records), columns=["system", "measured_on", "value", "low", "high"])


def _list_rates(records: Sequence[RunRecord]) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    for record in records:
        held_out = (record.optimal or {}).get("held_out")
        if held_out:
            reference = held_out["compared_with"]
            for name, key in ((reference, f"{reference}_wer"), ("best", "wer")):
                if key in held_out:  # not where every training diverged
                    interval = held_out[f"{key}_interval"]
                    rows.append((f"{record.name}: {name}", HELD_OUT, held_out[key], *interval))
        elif record.best and record.metric == "wer":
            rows.append((f"{record.name}: best", DEV, record.best.last("wer"), math.nan, math.nan))
    return rows


def tabulate_runs(records: Sequence[RunRecord]) -> Table:
    """A row a run: what it took, and what came out."""
    header = (
        "run",
        "trials",
        "spent",
        "best on dev",
        "default on dev",
        "WER on held-out speech",
        "what it had to beat",
        "relative gain (95 % interval)",
        "decision",
    )
    return Table("The runs", header, tuple(_list_row(each) for each in records))


def _list_row(record: RunRecord) -> tuple[str, ...]:
    best, default = record.best, record.default
    dev = [rate(each.last(record.metric)) if each else "-" for each in (best, default)]
    row = (plain(record.name), str(len(record.table.trials)), count_hours(record), *dev)
    held_out = (record.optimal or {}).get("held_out")
    if not held_out or not record.optimal:
        return (*row, "-", "-", "-", "not confirmed")
    low, high = held_out["interval"]
    gain = f"{held_out['relative_gain']:+.1%} ({low:+.1%} to {high:+.1%})"
    before = rate(held_out.get(f"{held_out['compared_with']}_wer"))
    return (*row, rate(held_out.get("wer")), before, gain, record.optimal["decision"].replace("_", " "))


def _draw_progress(records: Sequence[RunRecord]) -> Iterator[Figure]:
    """Nothing where the runs have no objective in common."""
    first, shown = records[0], [each for each in records if each.best]
    if not shown or not _have_one_objective(records):
        return
    caption = "; ".join(
        f"{plain(each.name)} came to {rate(each.best.last(each.metric))} in {len(each.table.trials)} trials"
        for each in shown
        if each.best
    )
    plot = plot_progress({each.name: each.trials for each in shown}, first.column, first.mode)
    yield Figure("progress", f"Best {plain(first.metric)} so far", f"{caption}.", plot)


def _tabulate_hyperparameters(records: Sequence[RunRecord]) -> tuple[Table, ...]:
    found = []
    for each in records:
        best = each.best.configuration if each.best else {}
        found.append((each.optimal or {}).get("hyperparameters") or best)
    names = list(dict.fromkeys(name for each in found for name in each))
    if not names:
        return ()
    rows = [(plain(name), *(plain(each.get(name, "-")) for each in found)) for name in names]
    header = ("hyperparameter", *(plain(each.name) for each in records))
    return (Table("Hyperparameters to train with", header, tuple(rows)),)
