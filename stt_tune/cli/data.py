"""Verbs for what a sweep is made of: data and sweep files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from stt_tune.cli.app import app, interruptible, locate_here, print_found, print_json
from stt_tune.cli.options import (
    OUT_HERE,
    AsJson,
    Columns,
    Language,
    Normaliser,
    Seed,
    SkipBad,
    Split,
)


@app.command()
def prepare(
    data: Annotated[str, typer.Argument(metavar="MANIFEST", help="What --data of tune takes, a manifest for example.")],
    out: Annotated[str, typer.Option(help="Folder for manifest.jsonl and rejected.jsonl.")],
    model: Annotated[
        str | None, typer.Option(help="What is to be trained: features are computed for it.", show_default=False)
    ] = None,
    skip_bad: SkipBad = False,
    split: Split = None,
    columns: Columns = None,
    normaliser: Normaliser = "auto",
    language: Language = "en",
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Check data alone: hours, speakers, kinds of error, duplicates, bad rows; divide it, and compute features.

    Example: stt-tune prepare errors.csv --out prepared --model openai/whisper-small --skip-bad
    """
    from stt_tune.run.settings import check_normaliser, locate, read_columns

    folder = locate_here(out, OUT_HERE)
    check_normaliser(normaliser)
    with interruptible("Interrupted: what was computed is kept, and the same command goes on."):
        from stt_tune.run.prepare import prepare_data

        report = prepare_data(
            locate(data),
            folder,
            model=model,
            skip_bad=skip_bad,
            split=split,
            columns=read_columns(columns),
            normaliser=normaliser,
            language=language,
            seed=seed,
        )
    print_found(report.to_dict(), as_json, *report.describe(), f"Manifest: {folder / 'manifest.jsonl'}")


@app.command()
def validate(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="W&B sweep files.", show_default=False)],
    own_training: Annotated[
        bool, typer.Option("--own-training", help="For a training function of your own: any parameter, any metric.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check sweep files and show their search spaces; every problem is told at once.

    Example: stt-tune validate configs/digits.yaml
    """
    from stt_tune.run.validate import check_sweeps, show_checks

    checks = check_sweeps(files, own_training=own_training)
    if as_json:
        print_json([check.to_dict() for check in checks])
    else:
        show_checks(checks)
    if not all(check.is_valid for check in checks):
        sys.exit(2)
