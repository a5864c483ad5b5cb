"""The verb for W&B."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stt_tune.cli.app import app, interruptible, print_json
from stt_tune.cli.options import AsJson


@app.command("wandb-sync")
def wandb_sync(
    run_dir: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="A run's folder.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Upload what W&B lacks of a run's trials: those kept offline, and those that W&B failed in the middle of.

    Example: stt-tune wandb-sync runs/digits
    """
    with interruptible("Interrupted: what was uploaded is marked, and the same command goes on with the rest."):
        from stt_tune.run.wandb_sync import sync_wandb

        result = sync_wandb(run_dir)
    if as_json:
        print_json({"uploaded": list(result.uploaded), "total": result.total})
        return
    if result.uploaded:
        typer.echo(f"{len(result.uploaded)} of {result.total} W&B runs were uploaded; the others had been before.")
    else:
        typer.echo(f"Nothing is left to upload: W&B has all {result.total} runs.")
