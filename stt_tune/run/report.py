"""Write the report of run folders."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stt_tune.errors import SettingsError, SttTuneError
from stt_tune.progress import say
from stt_tune.run.commands import command
from stt_tune.run.folder import SCHEDULER, SETTINGS, RunFolder
from stt_tune.run.opening import is_driven, opened_to_read
from stt_tune.run.spent import Spent
from stt_tune.run.verdict import describe_held_out
from stt_tune.storage import as_path, is_url
from stt_tune.sweep.config import SweepConfig
from stt_tune.sweep.rungs import find_rungs
from stt_tune.transfer import pull, push

if TYPE_CHECKING:
    from stt_tune.results.report.record import RunRecord

_DRAWS = 512  # of random search, to reckon what it would have found


def write_report(
    run_dirs: Sequence[str | Path], out: str | Path | None = None, *, png: bool = False
) -> tuple[str, list[str]]:
    """Write one page on a run, or on several side by side; the runs may be unfinished.

    Args:
        run_dirs: Run folders, paths or URLs. What lies at a URL is as its driver sent it last, some seconds ago.
        out: The file, a path or a URL; None: `report.html` in the first run folder.
        png: Whether each figure is written as a file of its own, too, into a folder beside the page.

    Returns:
        Where the page lies, and the files of the figures.

    Raises:
        SettingsError: A folder holds no run, its files are damaged, the page cannot be written, or figures are
            asked for and cannot be drawn here.
        StorageError: A URL cannot be read or written.
        SharedFileError: It cannot be found out whether the run at a URL goes on.
    """
    from stt_tune.results.report.page import write_report as write_page
    from stt_tune.results.report.pictures import save_pictures

    with contextlib.ExitStack() as stack:
        folders = [stack.enter_context(opened_to_read(each)) for each in run_dirs]
        page, url = _find_place(out, folders[0], stack)
        records = read_records(folders, run_dirs)
        for each, folder, record in zip(run_dirs, folders, records, strict=True):
            if is_url(each):
                _fetch_heard(folder, record)
        try:
            figures = write_page(records, page)
            files = [page, *(save_pictures(figures, page.with_suffix("")) if png else [])]
        except SttTuneError:
            raise
        except OSError as error:
            raise SettingsError(
                f"{error.filename or page}: must be a file that can be written ({error.strerror}). Name another one "
                "with --out."
            ) from error
        told = [f"{url}{each.relative_to(page.parent).as_posix()}" if url else str(each) for each in files]
        if url:
            for file, its_own in zip(files, told, strict=True):
                push(file, its_own)
        return told[0], told[1:]


def _find_place(out: str | Path | None, folder: RunFolder, stack: contextlib.ExitStack) -> tuple[Path, str]:
    """Where the page is written, and what stands before its name at the URL that it is sent to; nothing: to none."""
    if out is None:
        return folder.report, f"{folder.url}/" if folder.url else ""
    if not is_url(out):
        return Path(as_path(str(out))).absolute(), ""
    before, slash, name = str(out).rpartition("/")
    made = stack.enter_context(tempfile.TemporaryDirectory(prefix="stt_tune-"))
    return Path(made, name or folder.report.name), f"{before}{slash}"


def _fetch_heard(folder: RunFolder, record: RunRecord) -> None:
    """Fetch what a report tells of single utterances into the copy of a run at a URL, as far as it is there."""
    trials = [trial for trial in (record.best, record.default) if trial]
    for path in (record.held_out, *(record.utterances / f"{trial.trial_id}.parquet" for trial in trials)):
        pull(folder.share(path), path)


def refresh_report(folder: RunFolder) -> None:
    """Write the report of a run that has just ended; that it fails costs nothing but the report."""
    again = f"To make it: {command('report', folder.location)}"
    try:
        from stt_tune.results.report.page import write_report as write_page

        write_page([read_record(folder)], folder.report)
    except KeyboardInterrupt:
        say(f"{folder.share(folder.report)}: was interrupted, and not written; all else was. {again}")
    except Exception as error:  # noqa: BLE001 - the result is there, whatever ails its picture
        why = " ".join(f"{type(error).__name__}: {error}".split())
        say(f"{folder.share(folder.report)}: could not be written ({why}). {again}")


def read_records(folders: Sequence[RunFolder], locations: Sequence[str | Path] = ()) -> list[RunRecord]:
    """Read what the report is told of several runs, which it calls by as much of their paths as tells them apart.

    Args:
        folders: Of the runs.
        locations: What they were opened by, where that is not their paths.

    Raises:
        SettingsError: A folder holds no run, or a file in it is damaged.
        SweepConfigError: A `sweep.yaml` is.
    """
    for folder in folders:
        folder.check_existing()
    opened_by = locations or [each.path for each in folders]
    return [
        read_record(folder, name, is_running=is_driven(folder, location))
        for folder, name, location in zip(folders, _name_apart(folders), opened_by, strict=True)
    ]


def read_record(folder: RunFolder, name: str | None = None, *, is_running: bool = False) -> RunRecord:
    """Read what the report is told of a run.

    Args:
        folder: Of the run.
        name: What to call it; None: as its folder.
        is_running: Whether a process works on it, and there is nothing to be done.

    Raises:
        SettingsError: A file in it is damaged.
        SweepConfigError: `sweep.yaml` is.
    """
    from stt_tune.results.report.record import RunRecord

    run, sweep = folder.read_run(), folder.read_sweep()
    settings: Mapping[str, Any] = run.get(SETTINGS) or {}
    metric, default = sweep.metric, sweep.default
    table = folder.read_table([metric.name])
    optimal = folder.read_config()
    # what nobody wrote down has stopped nothing that is known of
    scheduler, spent = settings.get(SCHEDULER) or run.get(SCHEDULER, "none"), Spent.read(folder.spent)
    planned = max(sweep.count_trials(settings.get("trials")), len(table.trials))
    # a run of one's own training has no config to end with
    is_finished = bool(optimal) or (SETTINGS not in run and len(table.ended()) >= planned)
    return RunRecord(
        name=name or folder.location.rstrip("/").rpartition("/")[2],
        location=folder.location,
        table=table,
        metric=metric.name,
        mode=metric.mode,
        method=sweep.method,
        planned=planned,
        run=run,
        optimal=optimal,
        verdict=tuple(describe_held_out(optimal, is_tabulated=True)) if optimal and optimal.get("held_out") else (),
        is_running=is_running,
        how_to_go_on="" if is_finished or is_running else folder.how_to_go_on(),
        sweep_text=sweep.text,
        held_out=folder.held_out,
        utterances=folder.utterances,
        rungs={each.number: find_rungs(sweep, scheduler, default, each.configuration) for each in table.trials},
        spent_s=spent.seconds,
        spent_gpu_s=spent.gpu_seconds,
        draws=_draw_at_random(sweep, run["seed"]),
    )


def _draw_at_random(sweep: SweepConfig, seed: int) -> tuple[Mapping[str, Any], ...]:
    """What random search would try; nothing where the sweep is one, and has its own trials to tell."""
    if sweep.method == "random":
        return ()
    rng = np.random.default_rng(seed)
    return tuple(sweep.origin.flatten(sweep.origin.sample(rng)) for _ in range(_DRAWS))


def _name_apart(folders: Sequence[RunFolder]) -> list[str]:
    """Names of the folders; with what stands before them where two are called alike."""
    parts = [folder.location.rstrip("/").split("/") for folder in folders]
    for depth in range(1, max(map(len, parts)) + 1):
        names = ["/".join(each[-depth:]) for each in parts]
        if len(set(names)) == len(names):
            return names
    return [f"{'/'.join(each)} ({i})" for i, each in enumerate(parts, 1)]
