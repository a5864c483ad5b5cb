"""The verbs for W&B."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from stt_tune.cli.app import app, interruptible, print_found, print_json
from stt_tune.cli.options import AsJson
from stt_tune.errors import SettingsError

LocalRun = Annotated[str, typer.Argument(metavar="RUN_DIR", help="A run's folder.", show_default=False)]


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

        result = sync_wandb(_locate(run_dir))
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

        url = save_workspace(_locate(run_dir))
    print_found({"url": url}, as_json, url)


def _locate(run_dir: str) -> Path:
    from stt_tune.storage import as_path, is_url

    if is_url(run_dir):
        raise SettingsError(
            f"{run_dir}: must be a folder on this machine, found a URL. Copy it here and name the copy."
        )
    return Path(as_path(run_dir))
