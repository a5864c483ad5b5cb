"""Say in a few lines what a run found, and what to do with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stt_tune.run.commands import command
from stt_tune.run.faults import read_faults
from stt_tune.run.verdict import describe_held_out

if TYPE_CHECKING:
    from stt_tune.run.folder import RunFolder
    from stt_tune.run.tune import TuneResult


def describe_result(result: TuneResult) -> list[str]:
    """The verdict on held-out speech, then three lines: where things are, what to do next."""
    folder, document = result.folder, result.document
    more = (
        []
        if result.replacement
        else [f"Surer:   {command('confirm', folder.location)} (more candidates, more trainings)"]
    )
    return [
        "",
        *_describe_dev(result),
        *describe_held_out(document),
        "",
        f"Config:  {result.replacement.describe() if result.replacement else folder.share(folder.optimal_config)}",
        f"Run:     {folder.location} (trials.parquet, held_out.parquet, wandb/; to W&B with: "
        f"{command('wandb-sync', folder.path)})",  # W&B's files of a run at a URL are uploaded from this machine's copy
        *(
            [f"Model:   {folder.share(folder.best_model)} (trial {result.winner.number})"]
            if folder.best_model.is_dir()
            else []
        ),
        *([f"Report:  {folder.share(folder.report)}"] if folder.report.exists() else []),
        *_describe_faults(folder),
        *more,
        "Next:    look at the trials in notebooks/analyse_sweep.ipynb; merge hyperparameters of the config into your "
        "fine-tuning",
    ]


def _describe_faults(folder: RunFolder) -> list[str]:
    """What went wrong on the way and was mended; failed trials stand in the table."""
    log = read_faults(folder.faults)
    retried = [each for each in log if each.get("outcome") == "retried"]
    nodes = sum(each.get("outcome") == "set aside" for each in log)
    if not retried:
        return []
    trials = len({each.get("trial") for each in retried})
    told = f"{len(retried)} times one of {trials} trials was begun again after a fault"
    return [f"Faults:  {told}{f', {nodes} nodes were set aside' if nodes else ''}; see {folder.share(folder.faults)}"]


def _describe_dev(result: TuneResult) -> list[str]:
    document = result.document
    value = result.winner.last(document["metric"])
    line = f"On dev, which chose it: trial {result.winner.number}, {document['metric']} {value:.4f}"
    default = document["default_metric_value"]
    return [line + (f" (default {default:.4f})." if default is not None else " (the default has no result).")]
