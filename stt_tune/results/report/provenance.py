"""What was run?"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from stt_tune.results.plots.theme import format_value
from stt_tune.results.report.blocks import Listing, Section, Table, plain, rate
from stt_tune.results.report.hours import describe_status, find_rung
from stt_tune.results.report.record import RunRecord
from stt_tune.results.trials import CONFIG

QUESTION = "What was run?"
_TIMES = {"started_at": "started", "seed": "seed of the configurations", "split_by": "splits made by"}


def answer_provenance(record: RunRecord) -> Section:
    """Sweep file, data, versions, seeds, and every trial."""
    settings = record.run.get("settings") or {}
    what = f"The sweep {plain(record.run.get('sweep', record.name))}, by {record.method}"
    model = f", fine-tuned {plain(settings['model'])} on {plain(settings['data'])}" if settings else ""
    facts = tuple((name, plain(value)) for name, value in _list_facts(record))
    parts = (
        Table("The run", ("what", "value"), facts),
        Listing("The sweep file", plain(record.sweep_text)),
        Table("Settings", ("setting", "value"), tuple(_list_settings(settings)), is_folded=True),
        Table(
            "Versions", ("package", "version"), tuple(_list_settings(record.run.get("versions") or {})), is_folded=True
        ),
        _tabulate_trials(record),
    )
    return Section(QUESTION, (f"{what}{model}.",), tuple(part for part in parts if not _is_empty(part)))


def _is_empty(part: Table | Listing) -> bool:
    return isinstance(part, Table) and not part.rows


def _list_facts(record: RunRecord) -> Iterator[tuple[str, Any]]:
    run, optimal = record.run, record.optimal or {}
    yield "run folder", record.location
    for key, name in _TIMES.items():
        if key in run:
            yield name, run[key]
    if seeds := (optimal.get("held_out") or {}).get("seeds"):
        yield "seeds of the trainings anew", ", ".join(map(str, seeds))
    for split, count in (run.get("utterances") or {}).items():
        yield f"utterances in {split}", count
    for key in ("data_hash", "sweep_hash", "normaliser"):
        if key in run:
            yield key.replace("_", " "), run[key]
    yield "objective", f"{record.metric}, the {'lowest' if record.mode == 'min' else 'highest'} is the best"
    if hyperparameters := optimal.get("hyperparameters"):
        yield "hyperparameters to train with", _join(hyperparameters)
    if default := run.get("default"):
        yield "default configuration", _join(default)


def _join(configuration: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in configuration.items())


def _list_settings(settings: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in sorted(settings.items()):
        if value not in (None, [], {}):
            yield plain(name), plain(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _tabulate_trials(record: RunRecord) -> Table:
    names = [name.removeprefix(CONFIG) for name in record.varied]
    rows = []
    for trial in record.table.trials:
        status = describe_status(record, trial.status)
        rung = find_rung(record, trial)
        status += f" at rung {rung}" if trial.status == "stopped_early" and rung else ""
        status += f": {plain(trial.error)}" if trial.error else ""
        values = [plain(format_value(trial.configuration.get(name, "-"))) for name in names]
        number = f"{trial.number} (default)" if trial.is_default else str(trial.number)
        rows.append((number, status, str(trial.last_epoch), rate(trial.last(record.metric)), *values))
    header = ("trial", "status", "epochs", f"{plain(record.metric)} on dev", *map(plain, names))
    return Table(f"All {len(rows)} trials", header, tuple(rows), is_folded=True)
