"""The verb that looks at a run from another shell."""

from __future__ import annotations

from typing import Annotated

import typer

from stt_tune.cli.app import app, interruptible, print_found
from stt_tune.cli.options import AsJson


@app.command()
def status(
    run_dir: Annotated[str, typer.Argument(metavar="RUN_DIR", help="A run's folder or URL.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Say how a run stands, from another shell while it goes on, or after: trials, best so far, time, what to do next.

    Example: stt-tune status runs/digits
    """
    with interruptible("Interrupted. Nothing has changed."):
        from stt_tune.run.status import read_status

        found = read_status(run_dir)
    print_found(found.to_dict(), as_json, *found.describe())
