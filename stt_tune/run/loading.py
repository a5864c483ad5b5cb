"""Load the trials of a run, wherever it lies, as data frames.

Their columns:

| column | what it is |
| --- | --- |
| `trial_id` | Ray's and W&B's id |
| `number` | place in the sweep, from 0 |
| `status` | `completed`, `stopped_early`, `diverged`, `failed` or `interrupted` |
| `is_default` | whether it trains the default configuration |
| `error` | why it failed, in one line |
| `retries` | how often it was begun again after a fault |
| `epoch` | of the report, from 1 |
| `wer`, `cer` | wrong, missing and extra words (characters) a word (character) of the reference |
| `substitutions`, `deletions`, `insertions` | their shares of `wer` |
| `pronunciations` | those of the substitutions that sound like the right word |
| `ser` | share of the utterances with any error |
| `wer_KIND` | `wer` over the cases of that kind of error |
| `train_loss`, `dev_loss` | nats a token |
| `seconds` | since the trial's training began |
| `micro_batch` | utterances in one pass |
| `dev_utterances` | how many this report was measured on |
| `config.NAME` | a hyperparameter; nested ones with dots |

Sweeps of one's own training code have the metrics that this reports in the place of those from `wer` on.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Literal, overload

from stt_tune.errors import SettingsError
from stt_tune.results.frames import reports_frame, trials_frame
from stt_tune.results.trials import TrialTable
from stt_tune.run.places import TRIALS
from stt_tune.storage import as_path, is_url
from stt_tune.transfer import pull

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_TRACKED = "wandb:"


@overload
def load_reports(run: str | Path, library: Literal["pandas"] = "pandas") -> pd.DataFrame: ...
@overload
def load_reports(run: str | Path, library: Literal["arrow"]) -> pa.Table: ...
def load_reports(run: str | Path, library: str = "pandas") -> pd.DataFrame | pa.Table:
    """One row a report, in the order of trials and epochs; the columns are those of this module's table.

    A trial that reported nothing has one row without an epoch.

    Args:
        run: The run folder, a path or a URL; or `wandb:ENTITY/PROJECT/GROUP`, which asks W&B for the runs of a
            sweep and needs a key.
        library: `pandas`, or `arrow` for a `pyarrow.Table`, of which `polars.from_arrow` makes a Polars frame.

    Raises:
        SettingsError: The folder holds no trial table, W&B has no such runs, or there is no such library.
        StorageError: The URL cannot be read.
        WandbError: W&B cannot be reached.
    """
    return reports_frame(_load(str(run)), library)


@overload
def load_trials(run: str | Path, library: Literal["pandas"] = "pandas") -> pd.DataFrame: ...
@overload
def load_trials(run: str | Path, library: Literal["arrow"]) -> pa.Table: ...
def load_trials(run: str | Path, library: str = "pandas") -> pd.DataFrame | pa.Table:
    """One row a trial, with each metric as it was last reported; arguments, columns and errors as of `load_reports`."""
    return trials_frame(_load(str(run)), library)


def _load(run: str) -> TrialTable:
    if run.startswith(_TRACKED):
        from stt_tune.run.wandb_trials import read_trials

        return read_trials(run.removeprefix(_TRACKED))
    if not is_url(run):
        return TrialTable.load(Path(as_path(run), TRIALS))
    url = f"{run.rstrip('/')}/{TRIALS}"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, TRIALS)
        if not pull(url, path):
            raise SettingsError(f"{url}: must be the trial table of a run, and is not there.")
        return TrialTable.load(path)
