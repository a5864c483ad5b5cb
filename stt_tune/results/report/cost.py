"""What does it cost to use?"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from stt_tune.results.plots.outcomes import plot_cost
from stt_tune.results.report.blocks import Figure, Section, Table, hours, plain, rate
from stt_tune.results.report.record import RunRecord

QUESTION = "What does it cost to use?"
_HOUR = 3600
_SHOWN = 20


def answer_cost(record: RunRecord) -> Section:
    """Training time against the objective, and the front that no trial beats in both."""
    costs = find_costs(record)
    if costs.empty:
        return Section(QUESTION, ("This is not known: no completed trial has reported its seconds.",))
    front = costs[costs["is_on_front"]].sort_values("time").to_dict("records")
    quickest, best = front[0], front[-1]
    result = f"{plain(record.metric)} {rate(best['value'])} on dev"
    text = f"Trial {best['number']} is both the best and the quickest: {hours(best['time'])}, {result}."
    if len(front) > 1:
        text = (
            f"The best trial, {best['number']}, trains in {hours(best['time'])} ({result}); the quickest on the front, "
            f"trial {quickest['number']}, in {hours(quickest['time'])} ({rate(quickest['value'])})."
        )
    unit = "h" if costs["time"].max() > _HOUR else "s"
    scaled = costs.assign(time=costs["time"] / (_HOUR if unit == "h" else 1))
    caption = (
        f"{len(costs)} completed trials; {len(front)} of them are on the Pareto front, which no trial beats in both."
    )
    figure = Figure(
        "cost", f"Training time against {plain(record.metric)}", caption, plot_cost(scaled, record.column, unit)
    )
    rows = [(str(row["number"]), hours(row["time"]), rate(row["value"])) for row in front[:_SHOWN]]
    table = Table("The Pareto front", ("trial", "training", f"{plain(record.metric)} on dev"), tuple(rows))
    equals = _tell_equals(record, int(best["number"]), float(best["value"]))
    return Section(QUESTION, (text, *equals, "Times are those of the sweep, on its machines."), (figure, table))


def _tell_equals(record: RunRecord, number: int, value: float) -> tuple[str, ...]:
    """Say why another trial is called the best elsewhere, where one is: there, the first of equals."""
    best = record.best
    if best is None or best.number == number:
        return ()
    its = best.last(record.metric)
    if its != value:
        return (f"Trial {best.number}, the best of all with {rate(its)}, has not reported its seconds.",)
    return (f"Trial {best.number}, which came to the same earlier in the sweep, is called the best elsewhere.",)


def find_costs(record: RunRecord) -> pd.DataFrame:
    """Columns `number`, `time` in seconds, `value`, `is_default`, `is_on_front`, of completed trials."""
    done = record.completed
    if "seconds" not in done:
        return pd.DataFrame()
    sign = 1 if record.mode == "min" else -1
    done = done[np.isfinite(done["seconds"].to_numpy(float))]
    done = done.sort_values(["seconds", record.column], ascending=[True, record.mode == "min"])
    losses = sign * done[record.column]
    before = losses.cummin().shift(fill_value=math.inf)
    columns = {"number": done["number"], "time": done["seconds"], "value": done[record.column]}
    return pd.DataFrame({**columns, "is_default": done["is_default"], "is_on_front": losses < before})
