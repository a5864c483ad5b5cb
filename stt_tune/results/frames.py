"""A run folder's trials as pandas frames, for notebooks and reports."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pandas as pd

from stt_tune.errors import SettingsError
from stt_tune.results.trials import TrialTable
from stt_tune.storage import as_path, is_url
from stt_tune.transfer import pull

_TABLE = "trials.parquet"


def load_reports(run: str | Path) -> pd.DataFrame:
    """One row a report, in the order of trials and epochs.

    Columns: `trial_id`, `number` (place in the sweep), `status`, `is_default`, `error`, `epoch`,
    the metrics (rates are fractions, losses nats a token, `seconds` since the trial's training
    began), and the configuration as `config.NAME`. A trial that reported nothing has one row
    without an epoch.

    Args:
        run: The run folder, a path or a URL.

    Raises:
        SettingsError: The folder holds no trial table.
        StorageError: The URL cannot be read.
    """
    return _load(run).to_pandas()


def load_trials(run: str | Path) -> pd.DataFrame:
    """One row a trial: the columns of `load_reports`, as the trial's last report left them.

    Args:
        run: The run folder, a path or a URL.

    Raises:
        SettingsError: The folder holds no trial table.
        StorageError: The URL cannot be read.
    """
    return trials_frame(_load(run))


def _load(run: str | Path) -> TrialTable:
    if not is_url(run):
        return TrialTable.load(Path(as_path(str(run))) / _TABLE)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, _TABLE)
        if not pull(f"{run}/{_TABLE}", path):
            raise SettingsError(f"{run}/{_TABLE}: must be the trial table of a run, and is not there.")
        return TrialTable.load(path)


def trials_frame(table: TrialTable) -> pd.DataFrame:
    """One row a trial: the columns of `load_reports`, as the trial's last report left them."""
    return table.to_pandas().groupby("number", as_index=False).tail(1).reset_index(drop=True)
