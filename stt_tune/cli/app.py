"""The application that the verbs belong to."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from stt_tune.errors import SettingsError, SttTuneError, SweepInterruptedError
from stt_tune.storage import as_path, is_url

app = typer.Typer(
    help="Find the hyperparameters with which fine-tuning a speech-to-text model gives the lowest word error rate.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # it would swallow what stands in brackets
)


@contextlib.contextmanager
def interruptible(message: str = "Interrupted before a trial was started. Nothing has changed.") -> Iterator[None]:
    """Give Ctrl-C while loading its message; once trials run, the run itself says what was kept."""
    try:
        yield
    except KeyboardInterrupt as stop:
        raise SweepInterruptedError(message) from stop


def read_whereabouts(data: str | None, address: str | None, *, insecure: bool) -> dict[str, Any]:
    """Settings of where data and cluster are now; what is not given is left out."""
    from stt_tune.run.settings import locate

    given = {"data": None if data is None else locate(data), "address": address, "insecure_cluster": insecure or None}
    return {name: value for name, value in given.items() if value is not None}


def locate_here(folder: str, advice: str) -> Path:
    """A folder that lies on this machine.

    Args:
        folder: A path, or a URL of one.
        advice: What to do where it is the URL of another place.

    Raises:
        SettingsError: It is.
    """
    if is_url(folder):
        raise SettingsError(f"{folder}: must be a folder on this machine, found a URL. {advice}")
    return Path(as_path(folder))


def print_json(document: Any) -> None:
    """Print a result for machines."""
    typer.echo(json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False))


def print_found(document: Any, as_json: bool, *lines: str) -> None:
    """Print a result for machines; or in words, in these lines."""
    if as_json:
        print_json(document)
        return
    for line in lines:
        typer.echo(line)


def main() -> None:
    """Run the command line; a user's mistake gives its message and an exit code, no traceback."""
    try:
        app()
    except SttTuneError as error:
        typer.echo(str(error), err=True)
        sys.exit(error.exit_code)
