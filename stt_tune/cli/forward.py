"""Pass a verb on to the cluster that it is to run on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import typer

if TYPE_CHECKING:
    from stt_tune.run.head_job import File

_FILES = ("sweep", "default", "start_from", "incumbent")
_THERE = ("data", "replay", "guard", "out", "model")


def forward(context: typer.Context, address: str, *, insecure: bool) -> NoReturn:
    """Run the command of `context` on the head of a cluster: configuration files go there, data are there.

    Args:
        context: Of the command, which gives paths under the names of `_FILES` and `_THERE`.
        address: `ray://HOST:PORT`, of the cluster's client server.
        insecure: Whether it may be a cluster that others can reach, and that asks for no token.

    Raises:
        SettingsError: A file is missing, what the cluster is to see is relative, or it cannot be joined.
        typer.Exit: The command has ended there, with this exit code.
    """
    from stt_tune.run.head_job import run_on_head

    arguments: list[str | File] = [context.info_name or ""]
    for name, option, value in _find_given(context):
        if name in _THERE:
            _check_place(option, value, address)
        arguments += [option] if option.startswith("--") else []
        if name in _FILES:
            arguments.append(_read(value))
        elif value is not True:
            arguments.append("auto" if name == "address" else str(value))
    if "--out" not in arguments:
        _check_place("--out", "none", address)
    raise typer.Exit(run_on_head(address, arguments, insecure=insecure))


def _find_given(context: typer.Context) -> Iterator[tuple[str, str, Any]]:
    """Name, option and value of all that the user has given, once for each value."""
    for parameter in context.command.params:
        name = str(parameter.name)
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            value = context.params[name]
            for each in value if isinstance(value, list | tuple) else [value]:
                yield name, parameter.opts[-1], each


def _check_place(option: str, place: str, address: str) -> None:
    from stt_tune.errors import SettingsError
    from stt_tune.speech.rows import HUB
    from stt_tune.storage import as_path, is_url

    is_name = option == "--model" and not place.startswith((".", "~")) and not Path(place).is_dir()
    if not (is_name or is_url(place) or as_path(place).startswith(("/", HUB))):
        raise SettingsError(
            f"{option} must be an absolute path on the cluster or a URL, as the sweep runs there ({address}); "
            f"found {place}."
        )


def _read(file: str | Path) -> str | File:
    """A file with its content; a URL as it is."""
    from stt_tune.errors import SettingsError
    from stt_tune.run.head_job import File
    from stt_tune.storage import as_path, is_url

    if is_url(file):
        return str(file)
    try:
        path = Path(as_path(str(file)))
        return File(path.name, path.read_bytes())
    except OSError as error:
        raise SettingsError(f"{file}: must be a readable file ({error.strerror}).") from error
