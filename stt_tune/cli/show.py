"""Show what a run finds: in words, or for machines as JSON, at the end or line by line."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any

import typer

from stt_tune.cli.app import print_json
from stt_tune.errors import SettingsError

if TYPE_CHECKING:
    from stt_tune.results.trials import TrialTable
    from stt_tune.run.tune import TuneResult
    from stt_tune.sweep.config import SweepConfig


class Output(Enum):
    """What a verb that runs a sweep prints on stdout."""

    WORDS = "words"
    JSON = "--json"
    JSON_LINES = "--json-lines"


def choose_output(*, as_json: bool, json_lines: bool) -> Output:
    """Find out what is to be printed.

    Raises:
        SettingsError: Two things at once.
    """
    if as_json and json_lines:
        raise SettingsError(
            "--json, --json-lines: must not be given together, and are. --json-lines ends with the line that --json "
            "prints: leave --json out."
        )
    return Output.JSON_LINES if json_lines else Output.JSON if as_json else Output.WORDS


@contextlib.contextmanager
def printing(output: Output) -> Iterator[None]:
    """Print what happens inside the block, if that is asked for."""
    if output is not Output.JSON_LINES:
        yield
        return
    from stt_tune.run.events import JsonLines, listening

    lines = JsonLines(sys.stdout)
    # what libraries print would be no JSON
    with contextlib.redirect_stdout(sys.stderr), listening(lines.write):
        yield


def print_result(document: Mapping[str, Any], run: str, output: Output) -> None:
    """Print for machines what a run gave; its folder is in it."""
    result = {**document, "run": run}
    if output is Output.JSON_LINES:
        from stt_tune.run.events import tell

        tell("result", run, result=result)
    else:
        print_json(result)


def show(result: TuneResult, output: Output) -> None:
    """Print the trials and the verdict; or, for machines, what the config holds, or what became of it.

    Must be called inside `printing`.
    """
    if output is not Output.WORDS:
        document = result.replacement.to_dict() if result.replacement else result.document
        print_result(document, result.folder.location, output)
        return
    from stt_tune.run.summary import describe_result

    print_trials(result.table, result.sweep)
    for line in describe_result(result):
        typer.echo(line)


def print_trials(table: TrialTable, sweep: SweepConfig) -> None:
    """Print the trials as a table."""
    from rich.console import Console

    from stt_tune.run.rendering import render_trials

    Console(highlight=False, soft_wrap=True).print(render_trials(table, sweep.metric))
