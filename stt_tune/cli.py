"""The command line: one thin command a verb."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stt_tune.cli_options import (
    Address,
    AsJson,
    AudioContext,
    Columns,
    CTranslate2,
    Data,
    Default,
    ExtendVocabulary,
    GpusPerTrial,
    KeepBestModel,
    Language,
    MaxConcurrent,
    Model,
    Normaliser,
    OnlyErrorType,
    Out,
    Replay,
    Scheduler,
    Seed,
    SkipBad,
    Split,
    SweepFile,
    SweepTrials,
    Trials,
    Wandb,
    WandbProject,
)
from stt_tune.errors import SttTuneError, SweepInterruptedError

if TYPE_CHECKING:
    from stt_tune.results.trials import TrialTable
    from stt_tune.run.settings import TuneSettings
    from stt_tune.run.tune import TuneResult
    from stt_tune.sweep.config import SweepConfig

app = typer.Typer(
    help="Find the hyperparameters with which fine-tuning a speech-to-text model gives the lowest word error rate.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # it would swallow what stands in brackets
)


@app.command()
def tune(
    sweep: SweepFile,
    data: Data,
    model: Model = "tiny.en",
    split: Split = None,
    columns: Columns = None,
    trials: SweepTrials = None,
    out: Out = None,
    default: Default = None,
    seed: Seed = 0,
    max_concurrent: MaxConcurrent = None,
    gpus_per_trial: GpusPerTrial = None,
    scheduler: Scheduler = "asha",
    wandb: Wandb = "offline",
    wandb_project: WandbProject = None,
    normaliser: Normaliser = "auto",
    audio_context: AudioContext = None,
    language: Language = "en",
    skip_bad: SkipBad = False,
    only_error_type: OnlyErrorType = None,
    replay: Replay = None,
    extend_vocabulary: ExtendVocabulary = False,
    keep_best_model: KeepBestModel = False,
    ctranslate2: CTranslate2 = False,
    address: Address = None,
    as_json: AsJson = False,
) -> None:
    """Run a sweep on your speech, confirm its winner on held-out speech, write optimal_config.json.

    Example: stt-tune tune configs/digits.yaml --data errors.jsonl --model openai/whisper-small
    """
    from stt_tune.run.settings import TuneSettings, locate, read_columns, read_default

    settings = TuneSettings(
        data=locate(data),
        split=split,
        columns=read_columns(columns),
        model=model,
        trials=trials,
        scheduler=scheduler,
        seed=seed,
        default=read_default(default) if default else None,
        max_concurrent=max_concurrent,
        gpus_per_trial=gpus_per_trial,
        wandb=wandb,
        wandb_project=wandb_project,
        normaliser=normaliser,
        audio_context_s=audio_context,
        language=language,
        skip_bad=skip_bad,
        only_error_type=only_error_type,
        replay=str(replay.absolute()) if replay else None,
        extend_vocabulary=extend_vocabulary,
        keep_best_model=keep_best_model,
        ctranslate2=ctranslate2,
        address=address,
    )
    _tune(sweep, settings, out or Path("runs") / sweep.stem, as_json=as_json)


@app.command()
def resume(
    run_dir: Annotated[
        Path, typer.Argument(metavar="RUN_DIR", help="An interrupted run's folder.", show_default=False)
    ],
    as_json: AsJson = False,
) -> None:
    """Continue an interrupted run to its full number of trials.

    Example: stt-tune resume runs/digits
    """
    with _interruptible():
        from stt_tune.run.tune import resume as resume_run

        result = resume_run(run_dir)
    _show(result, as_json=as_json)


@app.command()
def prepare(
    data: Annotated[str, typer.Argument(metavar="MANIFEST", help="What --data of tune takes, a manifest for example.")],
    out: Annotated[Path, typer.Option(help="Folder for manifest.jsonl and rejected.jsonl.")],
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

    check_normaliser(normaliser)
    with _interruptible("Interrupted: what was computed is kept, and the same command goes on."):
        from stt_tune.run.prepare import prepare_data

        report = prepare_data(
            locate(data),
            out,
            model=model,
            skip_bad=skip_bad,
            split=split,
            columns=read_columns(columns),
            normaliser=normaliser,
            language=language,
            seed=seed,
        )
    if as_json:
        typer.echo(json.dumps(report.to_dict(), indent=2, sort_keys=True, ensure_ascii=False))
        return
    for line in report.describe():
        typer.echo(line)
    typer.echo(f"Manifest: {out / 'manifest.jsonl'}")


@app.command()
def export(
    run_dir: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="A finished run's folder.", show_default=False)],
    per_error_type: Annotated[
        bool,
        typer.Option("--per-error-type", help="Look for configurations that do better on single kinds of error."),
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="The file.  [default: RUN_DIR/optimal_config.json]", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a finished run's optimal_config.json, on request with a configuration for each kind of error that it helps.

    Example: stt-tune export runs/digits --per-error-type --out /shared/optimal_config.json
    """
    out = out or run_dir / "optimal_config.json"
    with _interruptible("Interrupted: nothing was written."):
        from stt_tune.run.export import describe_kinds
        from stt_tune.run.export import export as run_export

        document, results = run_export(run_dir, out, per_error_type=per_error_type)
    if as_json:
        typer.echo(json.dumps(document, indent=2, sort_keys=True))
        return
    for line in describe_kinds(results):
        typer.echo(line)
    typer.echo(f"Config:  {out}")


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
        typer.echo(json.dumps([check.to_dict() for check in checks], indent=2, sort_keys=True))
    else:
        show_checks(checks)
    if not all(check.is_valid for check in checks):
        sys.exit(2)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def train(
    context: typer.Context,
    data: Data,
    model: Model = "tiny.en",
    split: Split = None,
    columns: Columns = None,
    out: Annotated[Path, typer.Option(help="Folder for W&B's files.")] = Path("runs/train"),
    default: Default = None,
    seed: Seed = 0,
    wandb: Wandb = "offline",
    wandb_project: WandbProject = None,
    normaliser: Normaliser = "auto",
    audio_context: AudioContext = None,
    language: Language = "en",
    skip_bad: SkipBad = False,
    replay: Replay = None,
    extend_vocabulary: ExtendVocabulary = False,
    as_json: AsJson = False,
) -> None:
    """Train one configuration and log it to W&B: the program of a sweep that W&B itself schedules.

    Hyperparameters are given as W&B's agent gives them, --learning_rate=3e-5 --batch_size=16; what is
    left out is the default's. In the sweep file: command: [stt-tune, train, --data, errors.jsonl, "${args}"]

    Example: stt-tune train --data errors.jsonl --learning_rate=3e-5 --epochs=4
    """
    with _interruptible("Interrupted: the epochs that were finished are in W&B's files."):
        with contextlib.redirect_stdout(sys.stderr):  # transformers prints on import where W&B is offline
            from stt_tune.run.settings import TuneSettings, locate, read_columns, read_default
            from stt_tune.run.train import parse_hyperparameters
            from stt_tune.run.train import train as train_once

        settings = TuneSettings(
            data=locate(data),
            split=split,
            columns=read_columns(columns),
            model=model,
            seed=seed,
            default=read_default(default) if default else None,
            wandb=wandb,
            wandb_project=wandb_project,
            normaliser=normaliser,
            audio_context_s=audio_context,
            language=language,
            skip_bad=skip_bad,
            replay=str(replay.absolute()) if replay else None,
            extend_vocabulary=extend_vocabulary,
        )
        report = train_once(parse_hyperparameters(context.args), settings, out)
    typer.echo(json.dumps(report, indent=2, sort_keys=True) if as_json else f"dev WER {report['wer']:.4f}")


@app.command()
def demo(
    out: Annotated[
        Path | None, typer.Option(help="Run folder.  [default: runs/demo, or runs/mock]", show_default=False)
    ] = None,
    trials: Trials = 8,
    seed: Seed = 0,
    mock: Annotated[bool, typer.Option("--mock", help="A made-up training instead: a whole sweep in seconds.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run the main job on synthesised speech with Whisper tiny.en, in about five minutes on two cores.

    Example: stt-tune demo --out runs/demo
    """
    if mock:
        _demo_mock(out or Path("runs/mock"), trials, seed, as_json=as_json)
        return
    out = out or Path("runs/demo")
    with _interruptible():
        from stt_tune.demo import DEMO_SWEEP, build_demo_settings

        settings = build_demo_settings(trials=trials, seed=seed)
    _tune(DEMO_SWEEP, settings, out, as_json=as_json)


def _demo_mock(out: Path, trials: int, seed: int, *, as_json: bool) -> None:
    from stt_tune.demo.mock import run_mock

    with _interruptible():
        result = run_mock(out, trials=trials, seed=seed)
    if as_json:
        typer.echo(json.dumps({**result.best_run, "run": str(result.folder.path)}, indent=2, sort_keys=True))
        return
    _print_trials(result.table, result.sweep)
    typer.echo(f"\nThis training was made up; the sweep was real. Its trials: {result.folder.path}")
    typer.echo("Next: the same on speech, stt-tune demo; on your own, stt-tune tune SWEEP --data DATA --trials 3")


def _tune(sweep: Path, settings: TuneSettings, out: Path, *, as_json: bool) -> None:
    with _interruptible():
        from stt_tune.run.tune import tune as run_tune

        result = run_tune(sweep, settings, out)
    _show(result, as_json=as_json)


@contextlib.contextmanager
def _interruptible(message: str = "Interrupted before a trial was started. Nothing has changed.") -> Iterator[None]:
    """Give Ctrl-C while loading its message; once trials run, the run itself says what was kept."""
    try:
        yield
    except KeyboardInterrupt as stop:
        raise SweepInterruptedError(message) from stop


def _show(result: TuneResult, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({**result.document, "run": str(result.folder.path)}, indent=2, sort_keys=True))
        return
    from stt_tune.run.summary import describe_result

    _print_trials(result.table, result.sweep)
    for line in describe_result(result):
        typer.echo(line)


def _print_trials(table: TrialTable, sweep: SweepConfig) -> None:
    from rich.console import Console

    from stt_tune.run.display import render_trials

    Console(highlight=False, soft_wrap=True).print(render_trials(table, sweep.metric))


def main() -> None:
    """Run the command line; a user's mistake gives its message and an exit code, no traceback."""
    try:
        app()
    except SttTuneError as error:
        typer.echo(str(error), err=True)
        sys.exit(error.exit_code)
