"""A trial table as data frames, for notebooks and reports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, overload

import numpy as np

from stt_tune.errors import SettingsError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from stt_tune.results.trials import TrialTable

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
    """One row a trial, as its last report left it; else as `reports_frame`."""
    ends = np.cumsum([len(trial.reports) or 1 for trial in table.trials], dtype=int) - 1
    return _convert(table.to_arrow().take(ends), library)


def _convert(table: pa.Table, library: str) -> pd.DataFrame | pa.Table:
    if library not in _LIBRARIES:
        raise SettingsError(f"library: must be one of {', '.join(_LIBRARIES)}, found {library!r}.")
    return table if library == "arrow" else table.to_pandas()
