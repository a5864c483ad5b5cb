"""A sweep's trials as W&B has them, for those who have no access to its run folder."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

import wandb

from stt_tune.errors import SettingsError, WandbError, first_line
from stt_tune.progress import track
from stt_tune.results.trials import INTERRUPTED, Trial, TrialTable
from stt_tune.run.recorder import BOOKKEEPING
from stt_tune.run.tracking import WandbTracker
from stt_tune.run.wandb_function import STATUS
from stt_tune.run.wandb_link import INIT_TIMEOUT_S, check_access, ignoring_mode
from stt_tune.sweep.nesting import flatten

_ROWS = 10_000  # of a run; W&B draws so many of them where there are more
_NAME = re.compile(r"trial-(\d+)(-default)?")
_NO_METRICS = {*BOOKKEEPING, "epoch"}
_NO_PARAMETERS = {*WandbTracker.AUTO_CONFIG_KEYS, "trial_log_path"}


def read_trials(place: str) -> TrialTable:
    """Ask W&B for the runs of a sweep.

    The rows of functions that log to W&B by themselves are numbered in their order. What only the run folder knows,
    why a trial failed and how often it was begun again, is not there.

    Args:
        place: `ENTITY/PROJECT/GROUP`; the group is the sweep's name.

    Raises:
        SettingsError: It is no such place, W&B has no trials there, or there is no key.
        WandbError: W&B cannot be reached, or refuses.
    """
    parts = place.split("/", 2)
    if len(parts) < 3 or not all(parts):
        raise SettingsError(f"wandb:{place}: must be wandb:ENTITY/PROJECT/GROUP, the group being the sweep's name.")
    entity, project, group = parts
    check_access("to read runs", f"load_trials('wandb:{place}')")
    table = TrialTable(())
    with ignoring_mode():
        try:
            runs: Any = wandb.Api(timeout=INIT_TIMEOUT_S).runs(f"{entity}/{project}", {"group": group}, lazy=False)
            named = [(run, match) for run in runs if (match := _NAME.fullmatch(run.name or ""))]
            for run, match in track(named, "trials", len(named)):
                _enter(table, run, int(match[1]), is_default=bool(match[2]))
        except Exception as error:  # each part of W&B's client has exceptions of its own
            raise WandbError(
                f"wandb:{place}: must be a sweep that W&B lets us read, and is not ({first_line(error)})."
            ) from error
    if not table.trials:
        raise SettingsError(
            f"wandb:{place}: must hold the runs of a sweep's trials (trial-000-default, trial-001, ...), and has none."
        )
    return table


def _enter(table: TrialTable, run: Any, number: int, *, is_default: bool) -> None:
    own = {name: each for name, each in run.config.items() if name not in _NO_PARAMETERS and name[0] != "_"}
    status = str(run.summary.get(STATUS) or INTERRUPTED)
    table.add(Trial(run.id, number, is_default, flatten(own), status))
    rows: list[Mapping[str, Any]] = run.history(samples=_ROWS, pandas=False)
    for place, row in enumerate(sorted(rows, key=lambda row: row["_step"]), 1):
        metrics = dict(_find_metrics(row))
        if metrics:
            is_ours = row.get("epoch") == row["_step"]  # a function that logs by itself counts as it likes
            table.report(run.id, {"epoch": int(row["epoch"]) if is_ours else place, **metrics})


def _find_metrics(row: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name, value in row.items():
        if name in _NO_METRICS or name.startswith("_") or isinstance(value, bool):
            continue
        with contextlib.suppress(TypeError, ValueError):  # what is no number is no metric; W&B writes NaN as a text
            yield name, float(value)
