"""The verb that measures the tool itself."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Annotated, Any

import typer

from stt_tune.cli.app import app, interruptible, print_found
from stt_tune.cli.options import AsJson, MinImprovement, Seed

_bench = typer.Typer(help="Measure how well the tool does.", no_args_is_help=True)
app.add_typer(_bench, name="bench")


@_bench.command()
def search(
    table: Annotated[Path, typer.Option(help="Recorded runs (JSONL, .gz).", show_default=False)],
    method: Annotated[str, typer.Option(help="bayes, random, or Optuna's: optuna-tpe, optuna-gp.")] = "bayes",
    scheduler: Annotated[str, typer.Option(help="Early stopping: none, asha or wandb-hyperband.")] = "none",
    trials: Annotated[int, typer.Option(help="Trials of a sweep, the default configuration among them.")] = 20,
    refine: Annotated[int, typer.Option(help="Trials of a refinement after it, as stt-tune refine does it.")] = 0,
    parallel: Annotated[int, typer.Option(help="Trials at a time.")] = 1,
    seeds: Annotated[int, typer.Option(help="How many sweeps.")] = 30,
    min_improvement: MinImprovement = None,
    earlier: Annotated[
        Path | None,
        typer.Option(help="Recorded runs of earlier data: the sweeps are re-tunes of the best found there."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Replay sweeps on recorded runs, and tell how far below the default's WER they come.

    Example: stt-tune bench search --table runs.jsonl.gz --method bayes --scheduler asha
    """
    with interruptible("Interrupted. Nothing has changed."):
        from stt_tune.bench.search import SearchBench, bench_search

        asked = SearchBench(table, method, scheduler, trials, refine, parallel, seeds, min_improvement, earlier)
        result = bench_search(asked)
    print_found(result, as_json, *_describe(result))


@_bench.command()
def overhead(
    trials: Annotated[int, typer.Option(help="Of the sweep without W&B.")] = 1000,
    wandb_trials: Annotated[int, typer.Option(help="Of the sweep that writes offline W&B runs.")] = 200,
    as_json: AsJson = False,
) -> None:
    """Time trials that do nothing: what a sweep costs beyond its trainings.

    Example: stt-tune bench overhead --trials 1000
    """
    with interruptible("Interrupted. Nothing has changed."):
        from stt_tune.bench.overhead import bench_overhead

        result = bench_overhead(trials, wandb_trials)
    print_found(
        result,
        as_json,
        f"without W&B: {result['seconds_per_trial']:.3f} s a trial ({trials} trials, {result['cores']} cores)",
        f"with W&B, offline: {result['seconds_per_trial_wandb']:.3f} s a trial ({wandb_trials} trials)",
    )


@_bench.command()
def sweep(
    trials: Annotated[int, typer.Option(help="Of each of the two sweeps.")] = 5,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Time a whole sweep against the one that people write without this tool: transformers' Trainer with Optuna.

    Example: stt-tune bench sweep --json
    """
    with interruptible("Interrupted. Nothing has changed."):
        from stt_tune.bench.sweep import bench_sweep

        result = bench_sweep(trials, seed)
    sides = [
        f"{name}: {each['seconds']:.0f} s, {each['samples_trained']} utterances trained on, "
        f"dev WER {each['dev_wer']:.4f}, held-out WER {each['test_wer']:.4f}"
        for name, each in (("ours", result["ours"]), ("Trainer.hyperparameter_search", result["peer"]))
    ]
    print_found(result, as_json, *sides, f"{result['speedup']:.1f} times as fast")


@_bench.command()
def throughput(
    model: Annotated[str, typer.Option(help="A size of Whisper, such as whisper-small.")] = "whisper-tiny",
    context: Annotated[float, typer.Option(help="Length of the clips, in seconds.")] = 30.0,
    batch_size: Annotated[int, typer.Option(help="Utterances of an effective batch.")] = 16,
    batches: Annotated[int, typer.Option(help="Of an epoch; two epochs are trained.")] = 4,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Time a training of random weights on made-up clips, on the GPU if there is one.

    Example: stt-tune bench throughput --model whisper-small --context 30 --batch-size 64 --json
    """
    with interruptible("Interrupted. Nothing has changed."):
        from stt_tune.bench.throughput import bench_throughput

        result = bench_throughput(model, context, batch_size, batches, seed)
    print_found(
        result,
        as_json,
        f"{result['samples_per_second']:.1f} utterances/s in training, {100 * result['flop_utilisation']:.0f} % of "
        f"what {result['device']} could do, {result['peak_memory_gb']:.1f} GB at most",
        f"{result['decoded_per_second']:.1f} utterances/s in evaluation, "
        f"{100 * result['evaluation_share']:.0f} % of an epoch",
        f"a checkpoint would hold each epoch up for {result['checkpoint_wait_s']:.2f} s, and be written after "
        f"{result['checkpoint_s']:.2f} s",
    )


@_bench.command()
def packing(
    model: Annotated[str, typer.Option(help="A size of Whisper, such as whisper-tiny.")] = "whisper-tiny",
    context: Annotated[float, typer.Option(help="Length of the clips, in seconds.")] = 5.0,
    utterances: Annotated[int, typer.Option(help="That a trial is trained on.")] = 256,
    rounds: Annotated[int, typer.Option(help="Trials of each worker, the first of which is not counted.")] = 3,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Time trials that share a GPU against one at a time, with random weights and made-up clips.

    Example: stt-tune bench packing --model whisper-tiny --json
    """
    with interruptible("Interrupted. Nothing has changed."):
        from stt_tune.bench.packing import bench_packing

        result = bench_packing(model, context, utterances, rounds, seed)
    print_found(
        result,
        as_json,
        f"{result['runs_per_hour_alone']:.0f} runs an hour one at a time, {result['runs_per_hour_packed']:.0f} with "
        f"{result['trials_per_gpu']} on a GPU: {result['gain']:.1f} times as many",
    )


def _describe(result: dict[str, Any]) -> list[str]:
    lines = [
        f"after {after} trials: best WER {each['median']:.3f} of the first trial's "
        f"(quartiles {each['q25']:.3f} to {each['q75']:.3f})"
        for after, each in result["best_over_default"].items()
    ]
    trials = statistics.median(len(run["trials"]) for run in result["runs"])
    return [
        *lines,
        f"trials of a sweep, median: {trials:g}",
        f"epochs spent: {100 * result['epochs_fraction']:.0f} % of full trainings",
        f"sweeps that end below 0.95 of the default: {100 * result['share_below_095']:.0f} %",
    ]
