"""The verb that shows what runs have found."""

from __future__ import annotations

from typing import Annotated

import typer

from stt_tune.cli.app import app, interruptible, print_json
from stt_tune.cli.options import AsJson


@app.command()
def report(
    run_dirs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN_DIR",
            help="Runs, by folder or URL, unfinished ones too; several are put side by side.",
            show_default=False,
        ),
    ],
    out: Annotated[
        str | None,
        typer.Option(
            help="The file, or its URL.  [default: report.html in the first run's folder]", show_default=False
        ),
    ] = None,
    png: Annotated[
        bool, typer.Option("--png", help="Write each figure as a PNG, too, into a folder beside the page.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write a page that shows what runs have found: one file, that opens anywhere, without a network.

    Example: stt-tune report runs/digits runs/digits-refined --out compared.html
    """
    with interruptible("Interrupted: the page was not written."):
        from stt_tune.run.report import write_report

        page, pictures = write_report(run_dirs, out, png=png)
    if as_json:
        print_json({"report": page, "pictures": pictures})
        return
    typer.echo(f"Report:  {page}")
    if pictures:
        typer.echo(f"Figures: {pictures[0].rpartition('/')[0]} ({len(pictures)} files)")
