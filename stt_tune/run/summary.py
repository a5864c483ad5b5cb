"""Say in a few lines what a run found, and what to do with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stt_tune.run.tune import TuneResult


def describe_result(result: TuneResult) -> list[str]:
    """The verdict on held-out speech, then three lines: where things are, what to do next."""
    folder = result.folder
    return [
        "",
        *_describe_dev(result),
        *_describe_held_out(result),
        "",
        f"Config:  {folder.optimal_config}",
        f"Run:     {folder.path} (trials.parquet, held_out.parquet, wandb/; sync with: wandb sync "
        f"{folder.path / 'wandb'}/offline-run-*)",
        *([f"Model:   {folder.best_model} (trial {result.winner.number})"] if folder.best_model.is_dir() else []),
        "Next:    look at the trials in notebooks/analyse_sweep.ipynb; merge hyperparameters of the config into your "
        "fine-tuning",
    ]


def _describe_dev(result: TuneResult) -> list[str]:
    document = result.document
    line = f"On dev, which chose it: trial {result.winner.number}, {document['metric']} {document['metric_value']:.4f}"
    default = document["default_metric_value"]
    return [line + (f" (default {default:.4f})." if default is not None else " (the default has no result).")]


def _describe_held_out(result: TuneResult) -> list[str]:
    held_out = result.document["held_out"]
    number = result.winner.number
    if held_out is None:
        return [f"Trial {number} diverged when trained anew with another seed: the default configuration stays."]
    context_s = held_out["audio_context_s"]
    at_context = "" if context_s is None else f" at {context_s:g} s context"
    where = f"On held-out speech ({held_out['utterances']} utterances{at_context})"
    if result.winner.is_default:
        return [f"{where}: WER {held_out['wer']:.4f}. No trial was better than the default configuration: it stays."]
    low, high = held_out["interval"]
    figures = (
        f"WER {held_out['wer']:.4f}, default {held_out['default_wer']:.4f}, relative gain "
        f"{held_out['relative_gain']:+.1%} (95 % interval {low:+.1%} to {high:+.1%})"
    )
    if result.document["decision"] == "winner":
        return [f"{where}: {figures}."]
    return [
        f"{where}: {figures}.",
        f"Trial {number} is not better than the default beyond chance: the default configuration stays.",
    ]
