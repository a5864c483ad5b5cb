"""What the report is told of a run."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stt_tune.results.frames import reports_frame, trials_frame
from stt_tune.results.trials import COMPLETED, CONFIG, INTERRUPTED, RUNNING, Trial, TrialTable, metric_column
from stt_tune.results.utterances import load_utterances

if TYPE_CHECKING:
    import pandas as pd

_HASHES = ("data_hash", "beside_hash", "normaliser")  # in run.json


@dataclass(frozen=True)
class RunRecord:
    """A run folder, read.

    Attributes:
        name: What the run is called.
        location: The path or URL by which others find it.
        table: Every trial.
        metric: The objective.
        mode: `min` or `max`.
        method: How configurations were chosen.
        planned: How many trials the sweep has.
        run: What `run.json` holds.
        optimal: What `optimal_config.json` holds; None while there is none.
        verdict: What held-out speech says beside what it says of each system, a line each.
        how_to_go_on: What continues the run; nothing where it needs nothing.
        is_running: Whether it goes on, so that trials without an end are at work.
        sweep_text: The sweep file.
        held_out: The file of what was heard of the test split; it may be missing.
        utterances: The folder of what trials heard of the dev split; it may be missing.
        rungs: For each trial, by number, the epochs at which it meets the rungs of early stopping.
        spent_s: For how long trials ran, by the sweep's own clock; 0: that is not known.
        spent_gpu_s: The trials' seconds, times the GPUs that each had, by the same; 0: not known, or no GPUs.
        draws: Configurations as random search would draw them, by dotted names; none where the sweep itself is one.
    """

    name: str
    location: str
    table: TrialTable
    metric: str
    mode: str
    method: str
    planned: int
    run: Mapping[str, Any]
    optimal: Mapping[str, Any] | None = None
    verdict: tuple[str, ...] = ()
    how_to_go_on: str = ""
    is_running: bool = False
    sweep_text: str = ""
    held_out: Path = Path("held_out.parquet")
    utterances: Path = Path("utterances")
    rungs: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    spent_s: float = 0.0
    spent_gpu_s: float = 0.0
    draws: tuple[Mapping[str, Any], ...] = ()

    @property
    def column(self) -> str:
        """The column of the objective in the frames below."""
        return metric_column(self.metric)

    @functools.cached_property
    def reports(self) -> pd.DataFrame:
        """One row a report, as `load_reports` gives it; trials at work are called so."""
        frame = self._name_statuses(reports_frame(self.table))
        return frame if self.column in frame else frame.assign(**{self.column: math.nan})

    @functools.cached_property
    def trials(self) -> pd.DataFrame:
        """One row a trial, as `load_trials` gives it; trials at work are called so."""
        frame = self._name_statuses(trials_frame(self.table))
        return frame if self.column in frame else frame.assign(**{self.column: math.nan})

    def name_status(self, status: str) -> str:
        """What to call trials of that status, one of `STATUSES`."""
        return RUNNING if self.is_running and status == INTERRUPTED else status

    def _name_statuses(self, frame: pd.DataFrame) -> pd.DataFrame:
        return frame.assign(status=frame["status"].map(self.name_status))

    @functools.cached_property
    def completed(self) -> pd.DataFrame:
        """The trials whose last value of the objective is that of their configuration."""
        done = (self.trials["status"] == COMPLETED) & np.isfinite(self.trials[self.column].to_numpy(float))
        completed: pd.DataFrame = self.trials[done]
        return completed

    @property
    def varied(self) -> list[str]:
        """Columns of the hyperparameters that differ between trials."""
        return [
            name
            for name in self.trials.columns
            if name.startswith(CONFIG) and self.trials[name].dropna().astype(str).nunique() > 1
        ]

    @property
    def is_speech(self) -> bool:
        """Whether it is a run of `stt-tune tune`, and not the sweep of a training of one's own."""
        return "settings" in self.run

    @property
    def measured_on(self) -> tuple[str, ...]:
        """Stands for what the run's error rates are of: those of runs that share it compare; nothing: not known."""
        if "data_hash" not in self.run:
            return ()
        kind = (self.run.get("settings") or {}).get("only_error_type")
        return (*(str(self.run.get(key)) for key in _HASHES), str(kind))

    @property
    def best(self) -> Trial | None:
        """The trial that was best on dev."""
        return self.table.best(self.metric, self.mode)

    @property
    def default(self) -> Trial | None:
        """The trial of the default configuration, if it has a result."""
        trial = self.table.default()
        return trial if trial and trial.status == COMPLETED and math.isfinite(trial.last(self.metric)) else None

    @functools.cached_property
    def heard(self) -> pd.DataFrame | None:
        """What the confirmed systems heard of the test split, as `load_utterances` gives it."""
        return load_utterances(self.held_out)

    def heard_on_dev(self, trial: Trial | None) -> pd.DataFrame | None:
        """What a trial heard of the dev split; None where nobody knows."""
        return load_utterances(self.utterances / f"{trial.trial_id}.parquet") if trial else None
