"""Verbs that run a sweep."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stt_tune.cli.app import app, interruptible, read_whereabouts
from stt_tune.cli.forward import forward
from stt_tune.cli.options import (
    AddressNow,
    AddressOrClient,
    AsJson,
    AudioContext,
    Columns,
    CTranslate2,
    Data,
    DataNow,
    Default,
    ExtendVocabulary,
    GpuHours,
    GpusPerTrial,
    GpuType,
    Guard,
    GuardTolerance,
    Incumbent,
    InsecureCluster,
    JsonLines,
    KeepBestModel,
    Language,
    MaxConcurrent,
    MinGpuMemory,
    MinImprovement,
    Model,
    Normaliser,
    OnlyErrorType,
    Out,
    Replay,
    RunDir,
    Scheduler,
    Seed,
    SkipBad,
    Split,
    StartFrom,
    SweepFile,
    SweepTrials,
    TargetWer,
    TimeBudget,
    Trials,
    TrialsPerGpu,
    TrialTimeout,
    Wandb,
    WandbProject,
)
from stt_tune.cli.show import Output, choose_output, print_result, print_trials, printing, show

if TYPE_CHECKING:
    from stt_tune.run.settings import TuneSettings


@app.command()
def tune(
    context: typer.Context,
    sweep: SweepFile,
    data: Data,
    model: Model = "tiny.en",
    split: Split = None,
    columns: Columns = None,
    trials: SweepTrials = None,
    out: Out = None,
    default: Default = None,
    start_from: StartFrom = None,
    time_budget: TimeBudget = None,
    gpu_hours: GpuHours = None,
    target_wer: TargetWer = None,
    min_improvement: MinImprovement = None,
    seed: Seed = 0,
    trial_timeout: TrialTimeout = None,
    max_concurrent: MaxConcurrent = None,
    gpus_per_trial: GpusPerTrial = None,
    trials_per_gpu: TrialsPerGpu = None,
    gpu_type: GpuType = None,
    min_gpu_memory: MinGpuMemory = None,
    scheduler: Scheduler = "asha",
    wandb: Wandb = "offline",
    wandb_project: WandbProject = None,
    normaliser: Normaliser = "auto",
    audio_context: AudioContext = None,
    language: Language = "en",
    skip_bad: SkipBad = False,
    only_error_type: OnlyErrorType = None,
    replay: Replay = None,
    guard: Guard = None,
    guard_tolerance: GuardTolerance = 0.005,
    incumbent: Incumbent = None,
    extend_vocabulary: ExtendVocabulary = False,
    keep_best_model: KeepBestModel = False,
    ctranslate2: CTranslate2 = False,
    address: AddressOrClient = None,
    insecure_cluster: InsecureCluster = False,
    as_json: AsJson = False,
    json_lines: JsonLines = False,
) -> None:
    """Run a sweep on your speech, confirm its winner on held-out speech, write optimal_config.json.

    Example: stt-tune tune configs/digits.yaml --data errors.jsonl --model openai/whisper-small
    """
    from stt_tune.run.budget import read_duration
    from stt_tune.run.default_file import read_default
    from stt_tune.run.joining import is_client
    from stt_tune.run.settings import (
        TuneSettings,
        locate,
        locate_model,
        read_columns,
        read_incumbent,
        read_memory,
        read_winners,
    )

    output = choose_output(as_json=as_json, json_lines=json_lines)
    if address and is_client(address):
        forward(context, address, insecure=insecure_cluster)
    settings = TuneSettings(
        data=locate(data),
        split=split,
        columns=read_columns(columns),
        model=locate_model(model),
        trials=trials,
        scheduler=scheduler,
        seed=seed,
        default=read_default(default) if default else None,
        start_from=[each for location in start_from or () for each in read_winners(location)],
        **_read_limits(time_budget, gpu_hours, target_wer, min_improvement),
        trial_timeout_s=None if trial_timeout is None else read_duration(trial_timeout, "--trial-timeout"),
        max_concurrent=max_concurrent,
        gpus_per_trial=gpus_per_trial,
        trials_per_gpu=trials_per_gpu,
        gpu_type=gpu_type,
        min_gpu_memory_gb=None if min_gpu_memory is None else read_memory(min_gpu_memory),
        wandb=wandb,
        wandb_project=wandb_project,
        normaliser=normaliser,
        audio_context_s=audio_context,
        language=language,
        skip_bad=skip_bad,
        only_error_type=only_error_type,
        replay=locate(replay) if replay else None,
        guard=locate(guard) if guard else None,
        guard_tolerance=guard_tolerance,
        incumbent=read_incumbent(incumbent) if incumbent else None,
        extend_vocabulary=extend_vocabulary,
        keep_best_model=keep_best_model,
        ctranslate2=ctranslate2,
        address=address,
        insecure_cluster=insecure_cluster,
    )
    _tune(sweep, settings, out or Path("runs") / sweep.stem, output)


@app.command()
def resume(
    run_dir: Annotated[
        str, typer.Argument(metavar="RUN_DIR", help="An interrupted run's folder or URL.", show_default=False)
    ],
    trials: Annotated[int | None, typer.Option(help="How many in all, from now on.", show_default=False)] = None,
    time_budget: TimeBudget = None,
    gpu_hours: GpuHours = None,
    target_wer: TargetWer = None,
    min_improvement: MinImprovement = None,
    data: DataNow = None,
    address: AddressNow = None,
    insecure_cluster: InsecureCluster = False,
    as_json: AsJson = False,
    json_lines: JsonLines = False,
) -> None:
    """Continue an interrupted run to its full number of trials; or a finished one, with more trials or other limits.

    Example: stt-tune resume runs/digits
    """
    output = choose_output(as_json=as_json, json_lines=json_lines)
    with printing(output), interruptible():
        from stt_tune.run.resume import resume as resume_run

        given = {
            "trials": trials,
            **_read_limits(time_budget, gpu_hours, target_wer, min_improvement),
        }
        result = resume_run(
            run_dir,
            **{name: value for name, value in given.items() if value is not None},
            **read_whereabouts(data, address, insecure=insecure_cluster),
        )
        show(result, output)


@app.command()
def refine(
    run_dir: RunDir,
    trials: Annotated[int, typer.Option(help="How many more.")] = 10,
    expand: Annotated[bool, typer.Option("--expand", help="Let the space leave the sweep's bounds.")] = False,
    out: Annotated[
        str | None, typer.Option(help="Run folder or URL.  [default: RUN_DIR-refined]", show_default=False)
    ] = None,
    time_budget: TimeBudget = None,
    gpu_hours: GpuHours = None,
    target_wer: TargetWer = None,
    min_improvement: MinImprovement = None,
    data: DataNow = None,
    address: AddressNow = None,
    insecure_cluster: InsecureCluster = False,
    as_json: AsJson = False,
    json_lines: JsonLines = False,
) -> None:
    """Search on around the best trials of a finished run, with all that it has learnt.

    Example: stt-tune refine runs/digits --trials 10
    """
    output = choose_output(as_json=as_json, json_lines=json_lines)
    with printing(output), interruptible():
        from stt_tune.run.refine import refine as run_refine

        result = run_refine(
            run_dir,
            out or _name_refined(run_dir),
            trials=trials,
            expand=expand,
            **_read_limits(time_budget, gpu_hours, target_wer, min_improvement),
            **read_whereabouts(data, address, insecure=insecure_cluster),
        )
        show(result, output)


@app.command()
def demo(
    out: Annotated[
        str | None, typer.Option(help="Run folder or URL.  [default: runs/demo, or runs/mock]", show_default=False)
    ] = None,
    trials: Trials = 5,
    seed: Seed = 0,
    mock: Annotated[bool, typer.Option("--mock", help="A made-up training instead: a whole sweep in seconds.")] = False,
    as_json: AsJson = False,
    json_lines: JsonLines = False,
) -> None:
    """Run the main job on synthesised speech with Whisper tiny.en, in three to eight minutes on two cores.

    Example: stt-tune demo --out runs/demo
    """
    output = choose_output(as_json=as_json, json_lines=json_lines)
    if mock:
        _demo_mock(out or "runs/mock", trials, seed, output)
        return
    with interruptible():
        from stt_tune.demo import DEMO_SWEEP, build_demo_settings

        settings = build_demo_settings(trials=trials, seed=seed)
    _tune(DEMO_SWEEP, settings, out or "runs/demo", output)


def _name_refined(run_dir: str) -> str:
    """Where a refined run lies that is not told where.

    >>> _name_refined("s3://bucket/run/"), _name_refined("file:///data/run/")
    ('s3://bucket/run-refined', '/data/run-refined')
    """
    from stt_tune.storage import as_path, is_url

    return f"{run_dir.rstrip('/') if is_url(run_dir) else Path(as_path(run_dir)).absolute()}-refined"


def _read_limits(
    time_budget: str | None, gpu_hours: float | None, target_wer: float | None, min_improvement: float | None
) -> dict[str, Any]:
    """Limits of a sweep as settings."""
    from stt_tune.run.budget import read_duration

    return {
        "time_budget_s": None if time_budget is None else read_duration(time_budget),
        "gpu_hours": gpu_hours,
        "target_wer": target_wer,
        "min_improvement": min_improvement,
    }


def _demo_mock(out: str, trials: int, seed: int, output: Output) -> None:
    from stt_tune.demo.mock import run_mock

    with printing(output), interruptible():
        result = run_mock(out, trials=trials, seed=seed)
        if output is not Output.WORDS:
            print_result(result.best_run, result.folder.location, output)
            return
    print_trials(result.table, result.sweep)
    typer.echo(f"\nThis training was made up; the sweep was real. Its trials: {result.folder.location}")
    typer.echo("Next: the same on speech, stt-tune demo; on your own, stt-tune tune SWEEP --data DATA --trials 3")


def _tune(sweep: Path, settings: TuneSettings, out: str | Path, output: Output) -> None:
    with printing(output), interruptible():
        from stt_tune.run.tune import tune as run_tune

        result = run_tune(sweep, settings, out)
        show(result, output)
