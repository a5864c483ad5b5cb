"""Where did the hours go?"""

from __future__ import annotations

import math
from collections.abc import Iterator

import pandas as pd

from stt_tune.results.plots.outcomes import plot_endings
from stt_tune.results.report.blocks import Figure, Section, Table, hours
from stt_tune.results.report.record import RunRecord
from stt_tune.results.trials import COMPLETED, STATUSES, STOPPED_EARLY, Trial

QUESTION = "Where did the hours go?"
UNKNOWN = "-"
_SECONDS, _EPOCHS = "seconds", "epochs"
_LAST = 1000  # comes after all rungs


def answer_hours(record: RunRecord) -> Section:
    """Trials by how and where they ended, what they took, and what early stopping saved."""
    trials = record.table.trials
    if not trials:
        return Section(QUESTION, (f"No trial of {record.planned} has begun.",))
    endings = pd.DataFrame(_list_endings(record))
    counted = ", ".join(
        f"{row['trials']} {row['status'].replace('_', ' ')} {row['where']}" for row in endings.to_dict("records")
    )
    figure = Figure(
        "hours",
        "Where trials ended",
        f"Trials: {counted}. Who neither was stopped nor completed stands at the last rung that it had passed.",
        plot_endings(endings),
    )
    return Section(QUESTION, tuple(_describe(record)), (figure, _tabulate(record)))


def count_hours(record: RunRecord) -> str:
    """What the trials took, in hours of GPUs where it is known how many each had; a dash where nothing is known.

    A training of one's own need not report its seconds. Then it is what the sweep took, by its own clock.
    """
    trials = record.table.trials
    if not any(map(_is_timed, trials)):
        if record.spent_gpu_s:
            return f"{record.spent_gpu_s / 3600:.2f} GPU-hours"
        return f"{hours(record.spent_s)} on the clock" if record.spent_s else UNKNOWN
    seconds = sum(map(_seconds, trials))
    resources = record.run.get("resources") or {}
    gpus = resources.get("gpus") or (record.run.get("settings") or {}).get("gpus_per_trial")
    if gpus:
        return f"{seconds * gpus / 3600:.2f} GPU-hours"
    if resources.get("cpus"):
        return f"{seconds * resources['cpus'] / 3600:.2f} CPU-core-hours"
    return f"{hours(seconds)} of training"


def _describe(record: RunRecord) -> Iterator[str]:
    trials, counts = record.table.trials, record.table.counts()
    states = ", ".join(f"{counts[status]} {describe_status(record, status)}" for status in STATUSES if counts[status])
    planned = f" of {record.planned}" if record.planned != len(trials) else ""
    taken = count_hours(record)
    if taken == UNKNOWN:
        yield f"It is not known what {len(trials)}{planned} trials took, as none has reported its seconds: {states}."
    else:
        yield f"{len(trials)}{planned} trials took {taken}: {states}."
    saved, whole = _find_saved(trials)
    if saved:
        yield (
            f"Early stopping saved about {hours(saved)} of training, {saved / whole:.0%} of what the same trials would "
            "have taken to their ends."
        )
    held_out = (record.optimal or {}).get("held_out") or {}
    spent = sum(each.get("training_s", 0) for each in held_out.get("systems", ())) * len(held_out.get("seeds", ()))
    if spent:
        yield f"Training the default and the best anew to confirm them took another {hours(spent)}."
    if retries := sum(each.retries for each in trials):
        yield f"{retries} times a trial was begun again after a fault; faults.jsonl says why."


def describe_status(record: RunRecord, status: str) -> str:
    """What the report calls trials of that status, one of `STATUSES`."""
    return record.name_status(status).replace("_", " ")


def _find_saved(trials: list[Trial]) -> tuple[float, float]:
    """Seconds that stopped trials would have gone on, and that all would have taken; 0 where that is not known."""
    saved = 0.0
    for trial in trials:
        planned = trial.configuration.get(_EPOCHS)
        if trial.status == STOPPED_EARLY and isinstance(planned, int | float) and trial.last_epoch:
            saved += max(planned - trial.last_epoch, 0) * _seconds(trial) / trial.last_epoch
    return saved, saved + sum(_seconds(each) for each in trials)


def _is_timed(trial: Trial) -> bool:
    return math.isfinite(trial.last(_SECONDS))


def _seconds(trial: Trial) -> float:
    return trial.last(_SECONDS) if _is_timed(trial) else 0.0


def find_rung(record: RunRecord, trial: Trial) -> int:
    """The last rung that a trial has met, from 1; 0 where it has met none."""
    return sum(epoch <= trial.last_epoch for epoch in record.rungs.get(trial.number, ()))


def _list_endings(record: RunRecord) -> list[dict[str, str | int]]:
    counts: dict[tuple[int, str, str], int] = {}
    for trial in record.table.trials:
        rung = find_rung(record, trial)
        place = _LAST if trial.status == COMPLETED else rung
        where = {_LAST: "at the end", 0: "before rung 1"}.get(place, f"at rung {place}")
        key = (place, where, record.name_status(trial.status))
        counts[key] = counts.get(key, 0) + 1
    return [{"where": where, "status": status, "trials": n} for (_, where, status), n in sorted(counts.items())]


def _tabulate(record: RunRecord) -> Table:
    rows = []
    for status in STATUSES:
        group = [each for each in record.table.trials if each.status == status]
        if group:
            taken = hours(sum(map(_seconds, group))) if any(map(_is_timed, group)) else UNKNOWN
            epochs = sum(each.last_epoch for each in group)
            rows.append((describe_status(record, status), str(len(group)), str(epochs), taken))
    return Table("Trials by how they ended", ("trials that were", "number", "epochs", "training time"), tuple(rows))
