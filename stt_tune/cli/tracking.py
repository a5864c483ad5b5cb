"""The verbs for W&B."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from stt_tune.cli.app import app, interruptible, locate_here, print_found, print_json
from stt_tune.cli.options import AsJson

LocalRun = Annotated[str, typer.Argument(metavar="RUN_DIR", help="A run's folder.", show_default=False)]
_COPY = "Copy it here and name the copy."


@app.command("wandb-sync")
def wandb_sync(
    run_dir: LocalRun,
    as_json: AsJson = False,
) -> None:
    """Upload what W&B lacks of a run: trials kept offline, and those that W&B failed in the middle of.

    The best one is tagged "best", and optimal_config.json becomes an artifact.

    Example: stt-tune wandb-sync runs/digits
    """
    with interruptible("Interrupted: what was uploaded is marked, and the same command goes on with the rest."):
        from stt_tune.run.wandb_sync import sync_wandb

        result = sync_wandb(locate_here(run_dir, _COPY))
    if as_json:
        print_json(dataclasses.asdict(result))
        return
    if result.uploaded:
        typer.echo(f"{len(result.uploaded)} of {result.total} W&B runs were uploaded; the others had been before.")
    else:
        typer.echo(f"Nothing is left to upload: W&B has all {result.total} runs.")
    if result.tagged:
        typer.echo(f"The run of the best trial, {result.tagged}, is tagged now.")
    if result.attached:
        typer.echo("optimal_config.json is an artifact now.")


@app.command("wandb-workspace")
def wandb_workspace(
    run_dir: LocalRun,
    as_json: AsJson = False,
) -> None:
    """Save a view of a run in W&B: parallel coordinates, parameter importance, curves by rung, a table.

    Its trials must be in W&B (stt-tune wandb-sync). Prints the view's URL.

    Example: stt-tune wandb-workspace runs/digits
    """
    with interruptible("Interrupted: the view may have been saved; the same command saves it anew."):
        from stt_tune.run.wandb_workspace import save_workspace

        url = save_workspace(locate_here(run_dir, _COPY))
    print_found({"url": url}, as_json, url)
