"""The verb that trains once."""

from __future__ import annotations

import contextlib
import sys
from typing import Annotated

import typer

from stt_tune.cli.app import app, interruptible, locate_here, print_json
from stt_tune.cli.options import (
    OUT_HERE,
    AsJson,
    AudioContext,
    Columns,
    ConfigLanguage,
    ConfigModel,
    ConfigNormaliser,
    Data,
    Default,
    ExtendVocabulary,
    Replay,
    Seed,
    SkipBad,
    Split,
    Wandb,
    WandbProject,
)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def train(
    context: typer.Context,
    data: Data,
    model: ConfigModel = None,
    split: Split = None,
    columns: Columns = None,
    out: Annotated[str, typer.Option(help="Folder for W&B's files and the model.")] = "runs/train",
    config: Annotated[
        str | None,
        typer.Option(
            help="Train with this optimal_config.json (path or URL), and keep the model in OUT/model.",
            show_default=False,
        ),
    ] = None,
    error_type: Annotated[
        str | None,
        typer.Option(help="Take the config's own hyperparameters for this kind of error.", show_default=False),
    ] = None,
    default: Default = None,
    seed: Seed = 0,
    wandb: Wandb = "offline",
    wandb_project: WandbProject = None,
    normaliser: ConfigNormaliser = None,
    audio_context: AudioContext = None,
    language: ConfigLanguage = None,
    skip_bad: SkipBad = False,
    replay: Replay = None,
    extend_vocabulary: ExtendVocabulary = False,
    as_json: AsJson = False,
) -> None:
    """Train once: with an optimal config, or as the program of a sweep that W&B itself schedules.

    Hyperparameters are given as W&B's agent gives them, --learning_rate=3e-5 --batch_size=16; what is
    left out is the config's, or the default's. In the sweep file:
    command: [stt-tune, train, --data, errors.jsonl, "${args}"]

    Example: stt-tune train --config optimal_config.json --data errors.jsonl --epochs=4
    """
    folder = locate_here(out, OUT_HERE)
    with interruptible("Interrupted: the epochs that were finished are in W&B's files."):
        with contextlib.redirect_stdout(sys.stderr):  # transformers prints on import where W&B is offline
            from stt_tune.run.default_file import read_default
            from stt_tune.run.settings import TuneSettings, locate, locate_model, read_columns
            from stt_tune.run.train import parse_hyperparameters, read_config
            from stt_tune.run.train import train as train_once
            from stt_tune.speech.hyperparameters import complete

        explicit = parse_hyperparameters(context.args)
        optimal, found_with = read_config(config, error_type)
        settings = TuneSettings(
            data=locate(data),
            split=split,
            columns=read_columns(columns),
            model=locate_model(model) if model else found_with["model"],
            language=language or found_with["language"],
            normaliser=normaliser or found_with["normaliser"],
            seed=seed,
            default=read_default(default) if default else None,
            wandb=wandb,
            wandb_project=wandb_project,
            audio_context_s=audio_context,
            skip_bad=skip_bad,
            replay=locate(replay) if replay else None,
            extend_vocabulary=extend_vocabulary,
        )
        report = train_once(complete(explicit, optimal), settings, folder, folder / "model" if config else None)
    if as_json:
        print_json(report)
        return
    typer.echo(f"dev WER {report['wer']:.4f}")
    if config:
        low, high = report["held_out_wer_interval"]
        typer.echo(f"held-out WER {report['held_out_wer']:.4f} (95 % interval {low:.4f} to {high:.4f})")
        typer.echo(f"Model:   {folder / 'model'}")
