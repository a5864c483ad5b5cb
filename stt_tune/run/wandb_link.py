"""The way to W&B, which may break: begin a run all the same, and find out whether W&B got all of it."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import wandb
from wandb.sdk.wandb_run import Run

from stt_tune.errors import SettingsError, WandbError, first_line

MODE = "WANDB_MODE"
INIT_TIMEOUT_S = 12
FINISH_TIMEOUT_S = 15
# At the end of the id of a run that was to be online and could only begin offline.
FALLBACK = "-offline"
# W&B's own mark of a run file that is uploaded: an empty file of that name beside it.
_SYNCED = ".synced"
# Our own marks in the directory of a run.
_CONTINUING = "continuing"
_NEVER_BEGUN = "never-begun"
NO_KEY = "no key is configured"


@contextlib.contextmanager
def ignoring_mode() -> Iterator[None]:
    """Let W&B log in inside the block though the environment says offline."""
    before = os.environ.pop(MODE, None)
    try:
        yield
    finally:
        if before is not None:
            os.environ[MODE] = before


def find_obstacle() -> str:
    """Say why W&B cannot be logged into; nothing where it can. Takes ten seconds where W&B hangs."""
    with ignoring_mode():
        try:
            return "" if wandb.login(prompt=False) else NO_KEY
        except (wandb.Error, ValueError) as error:
            return first_line(error).rstrip(".")


def check_access(purpose: str, command: str) -> None:
    """Make sure that W&B can be logged into.

    Args:
        purpose: What for, such as `to upload runs`.
        command: What does the same later.

    Raises:
        SettingsError: There is no key.
        WandbError: W&B cannot be reached, or refuses the key.
    """
    obstacle = find_obstacle()
    if obstacle == NO_KEY:
        raise SettingsError(
            f"W&B: a key must be configured {purpose}, and there is none. Call `wandb login`, or set WANDB_API_KEY."
        )
    if obstacle:
        raise WandbError(
            f"W&B: must be within reach {purpose}, and is not ({obstacle}). Nothing has changed; later, the same "
            f"again: {command}"
        )


def begin_run(init: Callable[..., Run], arguments: Mapping[str, Any], tell: Callable[[str], None]) -> Run:
    """Begin a W&B run; where W&B does not answer, offline.

    W&B's service keeps the id of a run that it could not begin in use, so the offline run has another
    one in its files. `stt-tune wandb-sync` uploads it under the right one.

    Args:
        init: `wandb.init`.
        arguments: What it is given, `mode`, `id` and `dir` among them.
        tell: Is told why W&B could not be had.

    Raises:
        Exception: Whatever W&B raises where the run cannot even begin offline.
    """
    pattern = f"run-*-{arguments['id']}"
    folder = Path(arguments["dir"], "wandb")
    before = set(folder.glob(pattern))
    try:
        return init(**arguments)
    except Exception as error:
        if arguments["mode"] != "online":
            raise
        for directory in set(folder.glob(pattern)) - before:
            (directory / _NEVER_BEGUN).touch()
        tell(first_line(error))
    return init(**{**arguments, "mode": "offline", "id": f"{arguments['id']}{FALLBACK}"})


def mark_uploaded(directory: Path) -> bool:
    """Mark the files of a run that has ended online as uploaded, if they are; say whether they are.

    `run.finish()` ends in the same way where W&B has refused the data, so W&B's log of the run is
    asked. What it does not clearly say counts as not uploaded: uploading once more does no harm.

    Args:
        directory: The run's, which holds `run-ID.wandb`.
    """
    is_uploaded = _is_uploaded(directory)
    if is_uploaded:
        for file in directory.glob("run-*.wandb"):
            synced_mark(file).touch()
    return is_uploaded


def mark_continuing(directory: Path) -> None:
    """Mark that the files of a run go on where those of an earlier start end, and do not tell all of it again."""
    (directory / _CONTINUING).touch()


def is_continuing(directory: Path) -> bool:
    """Whether the files of a run were so marked."""
    return (directory / _CONTINUING).exists()


def was_begun(directory: Path) -> bool:
    """Whether the files are those of a run, and not what an attempt to begin one has left behind."""
    return not (directory / _NEVER_BEGUN).exists()


def synced_mark(file: Path) -> Path:
    """The file whose presence says that the run file is uploaded."""
    return file.with_name(file.name + _SYNCED)


def _is_uploaded(directory: Path) -> bool:
    is_last = is_taken = False
    for entry in _read_log(directory / "logs" / "debug-internal.log"):
        said = str(entry.get("msg"))
        if said.startswith(("filestream", "runupserter")) and str(entry.get("level")).startswith("ERROR"):
            return False
        if said == "filestream: sending request":
            is_last = entry.get("complete") is True
        elif said == "filestream: request sent":
            is_taken = is_last and str(entry.get("status")).startswith("2")
    return is_taken


def _read_log(path: Path) -> Iterator[dict[str, Any]]:
    if not path.is_file():
        return
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:  # not all libraries that W&B's service uses log in its format
            continue
        if isinstance(entry, dict):
            yield entry
