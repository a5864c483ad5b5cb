"""Verbs for what a sweep gives: the optimal config."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from stt_tune.cli.app import app, interruptible, print_found, read_whereabouts
from stt_tune.cli.options import (
    Address,
    AddressNow,
    AsJson,
    AudioContext,
    Columns,
    Config,
    ConfigLanguage,
    ConfigModel,
    ConfigNormaliser,
    Data,
    DataNow,
    ExtendVocabulary,
    GpusPerTrial,
    GpuType,
    Guard,
    GuardTolerance,
    Incumbent,
    InsecureCluster,
    JsonLines,
    MaxConcurrent,
    MinGpuMemory,
    Replay,
    RunDir,
    Seed,
    SkipBad,
    Split,
    Trials,
    TrialsPerGpu,
    Wandb,
)
from stt_tune.cli.show import choose_output, printing, show


@app.command()
def export(
    run_dir: RunDir,
    per_error_type: Annotated[
        bool,
        typer.Option("--per-error-type", help="Look for configurations that do better on single kinds of error."),
    ] = False,
    out: Annotated[
        str | None,
        typer.Option(
            help="The file, or a URL such as s3://bucket/optimal_config.json; what stands there goes into its "
            "history.  [default: RUN_DIR/optimal_config.json]",
            show_default=False,
        ),
    ] = None,
    data: DataNow = None,
    address: AddressNow = None,
    insecure_cluster: InsecureCluster = False,
    as_json: AsJson = False,
) -> None:
    """Write a finished run's optimal_config.json, on request with a configuration for each kind of error that it helps.

    Example: stt-tune export runs/digits --per-error-type --out /shared/optimal_config.json
    """
    out = out or f"{run_dir.rstrip('/')}/optimal_config.json"
    with interruptible("Interrupted: nothing was written."):
        from stt_tune.errors import SettingsError
        from stt_tune.run.export import describe_kinds
        from stt_tune.run.export import export as run_export

        now = read_whereabouts(data, address, insecure=insecure_cluster)
        if now and not per_error_type:
            raise SettingsError(
                "--data, --address, --insecure-cluster: must be given with --per-error-type, as nothing is trained "
                "without. Leave them out."
            )
        document, results = run_export(run_dir, out, per_error_type=per_error_type, **now)
    print_found(document, as_json, *describe_kinds(results), f"Config:  {out}")


@app.command()
def confirm(
    run_dir: RunDir,
    top: Annotated[int, typer.Option(min=1, help="How many of the best trials.")] = 3,
    seeds: Annotated[int, typer.Option(min=1, help="How often each is trained anew.")] = 3,
    guard: Guard = None,
    guard_tolerance: Annotated[
        float | None, typer.Option(help="How far the WER on the guard may rise, absolute.  [default: the run's]")
    ] = None,
    incumbent: Incumbent = None,
    data: DataNow = None,
    address: AddressNow = None,
    insecure_cluster: InsecureCluster = False,
    as_json: AsJson = False,
) -> None:
    """Train a run's best trials anew with fresh seeds, and choose among them on held-out speech.

    Example: stt-tune confirm runs/digits --top 3 --seeds 3 --guard correct.jsonl
    """
    with interruptible("Interrupted: what was trained is kept, and the same command goes on with it."):
        from stt_tune.run.confirm import confirm as run_confirm
        from stt_tune.run.settings import locate, read_incumbent
        from stt_tune.run.verdict import describe_held_out

        document = run_confirm(
            run_dir,
            top=top,
            trainings=seeds,
            guard=locate(guard) if guard else None,
            guard_tolerance=guard_tolerance,
            incumbent=read_incumbent(incumbent) if incumbent else None,
            **read_whereabouts(data, address, insecure=insecure_cluster),
        )
    config = f"{run_dir.rstrip('/')}/optimal_config.json"
    print_found(document, as_json, *describe_held_out(document), f"Config:  {config}")


@app.command()
def retune(
    config: Config,
    data: Data,
    trials: Trials = 5,
    min_gain: Annotated[float, typer.Option(help="The least relative gain, beyond chance, that replaces it.")] = 0.05,
    record: Annotated[bool, typer.Option("--record", help="Note in its history, too, when it stays.")] = False,
    sweep: Annotated[
        Path | None, typer.Option(help="A W&B sweep file.  [default: a sweep around the config]", show_default=False)
    ] = None,
    out: Annotated[
        str | None, typer.Option(help="Run folder or URL.  [default: runs/retune-DATE]", show_default=False)
    ] = None,
    model: ConfigModel = None,
    split: Split = None,
    columns: Columns = None,
    guard: Guard = None,
    guard_tolerance: GuardTolerance = 0.005,
    normaliser: ConfigNormaliser = None,
    language: ConfigLanguage = None,
    audio_context: AudioContext = None,
    skip_bad: SkipBad = False,
    replay: Replay = None,
    extend_vocabulary: ExtendVocabulary = False,
    seed: Seed = 0,
    max_concurrent: MaxConcurrent = None,
    gpus_per_trial: GpusPerTrial = None,
    trials_per_gpu: TrialsPerGpu = None,
    gpu_type: GpuType = None,
    min_gpu_memory: MinGpuMemory = None,
    wandb: Wandb = "offline",
    address: Address = None,
    insecure_cluster: InsecureCluster = False,
    as_json: AsJson = False,
    json_lines: JsonLines = False,
) -> None:
    """Run a small sweep around the config on new data; replace it only by one that is really better.

    Example: stt-tune retune --config optimal_config.json --data new_errors.jsonl --trials 5
    """
    out = out or f"runs/retune-{datetime.now(UTC):%Y-%m-%d}"
    output = choose_output(as_json=as_json, json_lines=json_lines)
    with printing(output), interruptible("Interrupted before a trial was started. The config stays as it is."):
        from stt_tune.run.retune import retune as run_retune
        from stt_tune.run.settings import locate, locate_model, read_columns, read_memory

        result = run_retune(
            config,
            out,
            sweep=sweep,
            model=locate_model(model) if model else None,
            language=language,
            normaliser=normaliser,
            trials=trials,
            min_gain=min_gain,
            data=locate(data),
            split=split,
            columns=read_columns(columns),
            record=record,
            guard=locate(guard) if guard else None,
            guard_tolerance=guard_tolerance,
            audio_context_s=audio_context,
            skip_bad=skip_bad,
            replay=locate(replay) if replay else None,
            extend_vocabulary=extend_vocabulary,
            seed=seed,
            max_concurrent=max_concurrent,
            gpus_per_trial=gpus_per_trial,
            trials_per_gpu=trials_per_gpu,
            gpu_type=gpu_type,
            min_gpu_memory_gb=None if min_gpu_memory is None else read_memory(min_gpu_memory),
            wandb=wandb,
            address=address,
            insecure_cluster=insecure_cluster,
        )
        show(result, output)


@app.command()
def drift(
    config: Config,
    data: Data,
    split: Split = None,
    columns: Columns = None,
    skip_bad: SkipBad = False,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit with 3 where a re-tune is due.")] = False,
    cron: Annotated[
        bool, typer.Option("--cron", help="Print a crontab line and a Kubernetes CronJob that look every month.")
    ] = False,
    replay: Replay = None,
    guard: Guard = None,
    as_json: AsJson = False,
) -> None:
    """Find out whether speech has moved since the config was made, and a re-tune is due.

    --replay and --guard go into the re-tune that --cron prints.

    Example: stt-tune drift --config optimal_config.json --data new_errors.jsonl
    """
    with interruptible("Interrupted. Nothing has changed."):
        from stt_tune.errors import SettingsError
        from stt_tune.results.shared_file import locate_shared
        from stt_tune.run.drift import DUE, describe_cron, find_drift
        from stt_tune.run.settings import locate, read_columns

        if cron and as_json:
            raise SettingsError(
                "--cron, --json: must not be given together, and are. What --cron prints is for crontab and kubectl: "
                "leave --json out."
            )
        where = locate_shared(config), locate(data)
        if cron:
            told = describe_cron(
                *where,
                split=split,
                columns=columns,
                skip_bad=skip_bad,
                replay=locate(replay) if replay else None,
                guard=locate(guard) if guard else None,
            )
            typer.echo(told)
            return
        if replay or guard:
            raise SettingsError(
                "--replay, --guard: must be given with --cron, as drift itself looks at --data alone. Leave them out."
            )
        report = find_drift(*where, split=split, columns=read_columns(columns), skip_bad=skip_bad)
    print_found(report.to_dict(), as_json, *report.describe())
    if exit_code and report.is_due:
        sys.exit(DUE)
