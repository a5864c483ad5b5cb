"""A trial table as data frames, for notebooks and reports."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal, overload

from stt_tune.errors import SettingsError
from stt_tune.results.trials import DIVERGED, Trial, TrialTable

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_LIBRARIES = ("pandas", "arrow")


@overload
def reports_frame(table: TrialTable, library: Literal["pandas"] = "pandas") -> pd.DataFrame: ...
@overload
def reports_frame(table: TrialTable, library: str) -> pd.DataFrame | pa.Table: ...
def reports_frame(table: TrialTable, library: str = "pandas") -> pd.DataFrame | pa.Table:
    """One row a report, in the order of trials and epochs; a trial that reported nothing has one without an epoch.

    Args:
        table: The trials.
        library: `pandas`, or `arrow` for a `pyarrow.Table`.

    Raises:
        SettingsError: There is no such library.
    """
    return _convert(table.to_arrow(), library)


@overload
def trials_frame(table: TrialTable, library: Literal["pandas"] = "pandas") -> pd.DataFrame: ...
@overload
def trials_frame(table: TrialTable, library: str) -> pd.DataFrame | pa.Table: ...
def trials_frame(table: TrialTable, library: str = "pandas") -> pd.DataFrame | pa.Table:
    """One row a trial, with its last epoch and each metric as it was last reported; else as `reports_frame`.

    So a metric that is not in every report may be of an earlier epoch. What a trial had before it diverged is left
    out, as that is not what came of it.
    """
    return _convert(TrialTable(table.metrics, map(_end, table.trials)).to_arrow(), library)


def _end(trial: Trial) -> Trial:
    """The trial with one report that says what came of it; with none where it has none."""
    if trial.status == DIVERGED:
        return replace(trial, reports=trial.reports[-1:])
    last = {name: value for report in trial.reports for name, value in report.items()}
    return replace(trial, reports=[last] if last else [])


def _convert(table: pa.Table, library: str) -> pd.DataFrame | pa.Table:
    if library not in _LIBRARIES:
        raise SettingsError(f"library: must be one of {', '.join(_LIBRARIES)}, found {library!r}.")
    return table if library == "arrow" else table.to_pandas()
