"""Upload what W&B lacks of a run folder, the runs by W&B's own `wandb sync`: `stt-tune wandb-sync`."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from stt_tune.errors import SettingsError, WandbSyncError, first_line
from stt_tune.progress import say, track
from stt_tune.run.commands import command
from stt_tune.run.folder import RunFolder
from stt_tune.run.wandb_link import MODE, check_access
from stt_tune.run.wandb_result import SweepOutcome, find_due, publish
from stt_tune.run.wandb_runs import RunFile, find_runs

_POLL_S = 0.2
_LAST_WORDS_S = 5.0


@dataclass(frozen=True)
class SyncResult:
    """What became of a run folder's W&B runs.

    Attributes:
        uploaded: Ids of the runs that were uploaded now.
        total: How many runs there are.
        tagged: Id of the run that was tagged as the best one now; None where none was.
        attached: Whether the optimal config was attached now.
    """

    uploaded: tuple[str, ...]
    total: int
    tagged: str | None = None
    attached: bool = False


def sync_wandb(path: Path) -> SyncResult:
    """Upload what W&B lacks of a run folder: its trials, a run each, and what the sweep has found.

    The best trial's run is tagged, and the optimal config becomes an artifact, as at the end of a sweep that logs
    online. Of a trial that was begun several times, only the last start counts, as it tells the whole history
    again. What is uploaded is marked at once, so that an upload that was interrupted goes on.

    Args:
        path: A run folder, or any folder that holds W&B's `wandb`.

    Raises:
        SettingsError: The folder holds no W&B runs, a sweep is running in it, or there is no key.
        WandbError: W&B cannot be reached.
        WandbSyncError: It did not take all of them.
    """
    folder = RunFolder(path.absolute())
    if not (folder.path / "wandb").is_dir():
        raise SettingsError(f"{path}: must hold W&B runs, in wandb/, and has none. Name a run folder.")
    with folder.locked_to_upload() if folder.run.is_file() else contextlib.nullcontext():
        runs = find_runs(folder.path / "wandb")
        missing = [file for run in runs for file in run if not file.is_uploaded]
        if missing:
            check_access("to upload runs", command("wandb-sync", path))
            _upload(missing, path)
        done = _publish(folder, path)
    uploaded = tuple(dict.fromkeys(file.run_id for file in missing))
    return SyncResult(uploaded, len(runs), done.best, done.config is not None)


def _upload(files: Sequence[RunFile], path: Path) -> None:
    say(f"uploading {len(files)} W&B runs")
    with tempfile.TemporaryFile("w+", encoding="utf-8") as said:
        for _ in track(_call_for_all(files, said), "W&B runs uploaded", len(files)):
            pass
        missing = [file for file in files if not file.is_uploaded]
        if missing:
            raise WandbSyncError(
                f"{path}: all W&B runs must be uploaded, and {len(missing)} of {len(files)} are not "
                f"({_find_reason(said)}). What was uploaded is marked; the same again goes on: "
                f"{command('wandb-sync', path)}"
            )


def _publish(folder: RunFolder, path: Path) -> SweepOutcome:
    due = find_due(folder)
    if due is None:
        return SweepOutcome(None, None)
    check_access("to tag the best run", command("wandb-sync", path))
    try:
        return publish(folder, due)
    except Exception as error:
        raise WandbSyncError(
            f"{path}: all W&B runs are uploaded, and the sweep's result must be, and is not ({first_line(error)}). The "
            f"same again goes on: {command('wandb-sync', path)}"
        ) from error


def _call_for_all(files: Sequence[RunFile], said: IO[str]) -> Iterator[RunFile]:
    # W&B gives the same id to all that a call uploads, so each run that needs another one has a call of its own
    renamed = dict.fromkeys(file.run_id for file in files if file.is_fallback)
    together = [file for file in files if file.run_id not in renamed]
    calls = [[file for file in files if file.run_id == run_id] for run_id in renamed]
    if together:
        yield from _call_wandb(together, said)
    if len(together) > 1 and not any(file.is_uploaded for file in together):
        calls += [[file] for file in together]  # a file that cannot be read keeps W&B from all others of the call
    for call in calls:
        yield from _call_wandb(call, said)


def _call_wandb(files: Sequence[RunFile], said: IO[str]) -> Iterator[RunFile]:
    """Give each file once W&B has marked it uploaded; the key is left to W&B to find, and is in no command line."""
    renamed = ["--id", files[0].run_id] if any(file.is_fallback for file in files) else []
    folders = [str(file.path.parent) for file in files]
    # W&B's own logs go beside the runs; a `wandb` folder where the user is must not be taken for the module (-P)
    own = {"WANDB_DIR": str(files[0].path.parents[2])}
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "wandb", "sync", "--include-online", *renamed, *folders],
        stdin=subprocess.DEVNULL,
        stdout=said,
        stderr=subprocess.STDOUT,
        env={name: value for name, value in os.environ.items() if name != MODE} | own,
    )
    with process:
        try:
            left, is_over = list(files), False
            while left and not is_over:
                time.sleep(_POLL_S)
                is_over = process.poll() is not None
                done = [file for file in left if file.is_uploaded]
                left = [file for file in left if file not in done]
                yield from done
            process.wait(timeout=_LAST_WORDS_S)
        except subprocess.TimeoutExpired:
            pass  # all is uploaded; what W&B still does is of no use here
        finally:
            process.terminate()


def _find_reason(said: IO[str]) -> str:
    said.seek(0)
    lines = [line.strip() for line in said if line.strip()]
    errors = [line for line in lines if "ERROR" in line]
    return (errors or lines or ["wandb sync says nothing"])[-1].removeprefix("wandb: ERROR ")
