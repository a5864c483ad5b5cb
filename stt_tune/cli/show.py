"""Show what a run found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from stt_tune.cli.app import print_json

if TYPE_CHECKING:
    from stt_tune.results.trials import TrialTable
    from stt_tune.run.tune import TuneResult
    from stt_tune.sweep.config import SweepConfig


def show(result: TuneResult, *, as_json: bool) -> None:
    """Print the trials and the verdict; or, for machines, what the config holds, or what became of it."""
    if as_json:
        if result.replacement:
            print_json({**result.replacement.to_dict(), "run": result.folder.location})
            return
        print_json({**result.document, "run": result.folder.location})
        return
    from stt_tune.run.summary import describe_result

    print_trials(result.table, result.sweep)
    for line in describe_result(result):
        typer.echo(line)


def print_trials(table: TrialTable, sweep: SweepConfig) -> None:
    """Print the trials as a table."""
    from rich.console import Console

    from stt_tune.run.display import render_trials

    Console(highlight=False, soft_wrap=True).print(render_trials(table, sweep.metric))
