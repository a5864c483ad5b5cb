"""Save the view of a sweep in W&B: `stt-tune wandb-workspace`."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import wandb

from stt_tune.errors import SettingsError, WandbError, first_line
from stt_tune.files import write_text
from stt_tune.progress import say
from stt_tune.run.commands import command
from stt_tune.run.folder import RunFolder
from stt_tune.run.wandb_link import INIT_TIMEOUT_S, check_access, ignoring_mode
from stt_tune.run.wandb_place import WandbPlace, find_entity, find_place
from stt_tune.run.wandb_runs import find_runs


def save_workspace(run_dir: Path) -> str:
    """Build the view of a sweep and save it in its W&B project; the one that was saved before is replaced.

    Args:
        run_dir: The sweep's folder. Its runs are to be in W&B.

    Returns:
        The view's URL.

    Raises:
        SettingsError: The extra `workspace` is not installed, the folder is no run's, W&B was off, its runs are not
            in W&B yet, or there is no key.
        WandbError: W&B cannot be reached, or does not take the view.
    """
    check_installed()
    folder = RunFolder.existing(run_dir)
    place = find_place(folder)
    if place is None:
        raise SettingsError(
            f"{run_dir}: must be a sweep whose trials are W&B runs, and by its {folder.run.name} W&B was off. Look at "
            f"them in {folder.trials.name}."
        )
    _check_uploaded(folder, run_dir)
    # only now: it needs the extra
    from stt_tune.run.wandb_view import build_view

    again = command("wandb-workspace", run_dir)
    check_access("to save a view", again)
    sweep = folder.read_sweep()
    table = folder.read_table((sweep.metric.name,))
    document = folder.read_config()
    with ignoring_mode():
        with _taken(place, again):
            entity = find_entity(place, wandb.Api(timeout=INIT_TIMEOUT_S))
        view = build_view(entity, place, sweep, table, document)
        with _taken(place, again):
            url = str(_replace(folder, view).url)
    write_text(_mark(folder), url)
    return url


@contextlib.contextmanager
def _taken(place: WandbPlace, again: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise WandbError(
            f"W&B: must take the view of {place.project}, and does not ({first_line(error).rstrip('.')}). The same "
            f"again: {again}"
        ) from error


def check_installed() -> None:
    """Make sure that views can be built.

    Raises:
        SettingsError: The library is missing.
    """
    if importlib.util.find_spec("wandb_workspaces") is None:
        raise SettingsError(
            "wandb-workspace: W&B's views need wandb-workspaces. Install it: pip install 'stt-tune[workspace]'."
        )


def _check_uploaded(folder: RunFolder, run_dir: Path) -> None:
    runs = find_runs(folder.path / "wandb")
    missing = sum(not all(file.is_uploaded for file in run) for run in runs)
    if missing == len(runs):
        raise SettingsError(
            f"{run_dir}: must have its runs in W&B, and none of {len(runs)} is there yet. First: "
            f"{command('wandb-sync', run_dir)}"
        )
    if missing:
        say(f"W&B: {missing} of {len(runs)} runs are not there yet; the view shows them after stt-tune wandb-sync")


def _replace(folder: RunFolder, view: Any) -> Any:
    """Save the view in the place of the one that was saved before, if that is still there."""
    import wandb_workspaces.workspaces as ws
    from wandb_workspaces.workspaces.errors import SpecVersionError, UnsupportedViewError

    if not _mark(folder).is_file():
        return view.save()
    try:
        before = ws.Workspace.from_url(_mark(folder).read_text(encoding="utf-8"))
    # W&B has it no more, or somebody has changed it in the app into a form that the library does not know
    except (ValueError, SpecVersionError, UnsupportedViewError):
        return view.save()
    before.sections, before.settings, before.runset_settings = view.sections, view.settings, view.runset_settings
    return before.save()


def _mark(folder: RunFolder) -> Path:
    return folder.path / "wandb" / "workspace.url"
