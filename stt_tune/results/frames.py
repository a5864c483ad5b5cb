"""A run folder's trials as pandas frames, for notebooks and reports."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from stt_tune.results.trials import TrialTable

_TABLE = "trials.parquet"


def load_reports(run: str | Path) -> pd.DataFrame:
    """One row a report, in the order of trials and epochs.

    Columns: `trial_id`, `number` (place in the sweep), `status`, `is_default`, `error`, `epoch`,
    the metrics (rates are fractions, losses nats a token, `seconds` since the trial's training
    began), and the configuration as `config.NAME`. A trial that reported nothing has one row
    without an epoch.

    Raises:
        SettingsError: The folder holds no trial table.
    """
    return TrialTable.load(Path(run) / _TABLE).to_pandas()


def load_trials(run: str | Path) -> pd.DataFrame:
    """One row a trial: the columns of `load_reports`, as the trial's last report left them.

    Raises:
        SettingsError: The folder holds no trial table.
    """
    return trials_frame(TrialTable.load(Path(run) / _TABLE))


def trials_frame(table: TrialTable) -> pd.DataFrame:
    """One row a trial: the columns of `load_reports`, as the trial's last report left them."""
    return table.to_pandas().groupby("number", as_index=False).tail(1).reset_index(drop=True)
