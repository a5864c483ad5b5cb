"""Run the trials of a sweep on Ray Tune."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ray import tune
from ray.tune.error import TuneError
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from stt_tune.errors import SweepFailedError, SweepInterruptedError
from stt_tune.results.trials import Trial, TrialTable
from stt_tune.run.cluster import TrialResources
from stt_tune.run.folder import RunFolder
from stt_tune.run.recorder import Recorder
from stt_tune.run.tracking import build_trackers
from stt_tune.sweep.config import SweepConfig
from stt_tune.sweep.scheduler import EarlyStopping
from stt_tune.sweep.searcher import RandomSearcher

TrainFunction = Callable[[dict[str, Any]], None]


def run_sweep(
    sweep: SweepConfig,
    train: TrainFunction,
    *,
    folder: RunFolder,
    table: TrialTable,
    num_trials: int,
    seed: int,
    resources: TrialResources,
    default: Mapping[str, Any] | None,
    complete: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict,
    wandb_mode: str = "offline",
    wandb_project: str = "stt-tune",
    tags: tuple[str, ...] = (),
    on_change: Callable[[TrialTable, Trial], None] = lambda _table, _trial: None,
) -> None:
    """Run what of the sweep is not in `table` yet, and enter it there.

    Must be called while connected to Ray.

    Args:
        sweep: What to try.
        train: Trains one configuration and calls `ray.tune.report` with `epoch` and the metrics
            after each epoch. A report with `diverged` marks the trial as that.
        folder: Where the table, the W&B runs and Ray's files go.
        table: Trials of an earlier start of the same sweep; those that ended are not run again.
        num_trials: How many the sweep has in all.
        seed: Of the configurations.
        resources: What a trial gets.
        default: The configuration of the first trial; None: it is drawn like the others.
        complete: Fills in what the sweep leaves out of a configuration.
        wandb_mode: `offline`, `online` or `disabled`.
        wandb_project: The W&B project.
        tags: On every W&B run.
        on_change: Called with the table and the trial after every change.

    Raises:
        SweepInterruptedError: Ctrl-C; the table holds what was reported until then.
        SweepFailedError: The table could not be written, or Ray itself failed.
    """
    ended = {trial.number for trial in table.ended()}
    pending = [number for number in range(num_trials) if number not in ended]
    if not pending:
        return
    searcher = RandomSearcher(sweep, seed, pending, default=default, complete=complete)
    scheduler, stopped = _build_scheduler(sweep, searcher)
    recorder = Recorder(table, folder.trials, searcher, stopped, on_change)
    trackers = build_trackers(
        wandb_mode,
        folder=folder.path,
        project=wandb_project,
        group=sweep.name,
        tags=tags,
        status_of=recorder.status_of,
    )

    def name_trial(trial: Any) -> str:
        number = searcher.numbers[trial.trial_id]
        return f"trial-{number:03d}{'-default' if searcher.is_default(trial.trial_id) else ''}"

    tuner = tune.Tuner(
        tune.with_resources(train, {"cpu": resources.cpus, "gpu": resources.gpus}),
        tune_config=tune.TuneConfig(
            num_samples=len(pending),
            search_alg=searcher,
            scheduler=scheduler,
            max_concurrent_trials=resources.max_concurrent,
            reuse_actors=True,
            trial_name_creator=name_trial,
            trial_dirname_creator=lambda trial: f"{name_trial(trial)}-{trial.trial_id}",
        ),
        run_config=tune.RunConfig(
            name="sweep", storage_path=str(folder.ray), callbacks=[recorder, *trackers], verbose=0
        ),
    )
    try:
        tuner.fit()
    except TuneError as error:
        # Ray wraps what a callback raises, such as a full disk, in the text of its traceback
        reason = str(error).strip().splitlines()[-1]
        raise SweepFailedError(
            f"{folder.path}: the sweep could not go on ({reason}). What was finished is kept; mend it, "
            f"then continue with: stt-tune resume {folder.path}"
        ) from error
    missing = num_trials - len(table.ended())
    if missing:
        raise SweepInterruptedError(f"interrupted with {len(table.ended())} of {num_trials} trials finished.")


def _build_scheduler(sweep: SweepConfig, searcher: RandomSearcher) -> tuple[TrialScheduler, set[str]]:
    """The scheduler, and the set of trials that it has stopped, which grows as it does."""
    if sweep.early_terminate is None:
        return FIFOScheduler(), set()
    scheduler = EarlyStopping(sweep.early_terminate, sweep.metric, searcher.is_default)
    return scheduler, scheduler.stopped
