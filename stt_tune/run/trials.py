"""Run the trials of a sweep on Ray Tune."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ray import tune
from ray.tune import Callback
from ray.tune.error import TuneError
from ray.tune.progress_reporter import TrialProgressCallback

from stt_tune.errors import SweepConfigError, SweepHaltedError, SweepInterruptedError
from stt_tune.progress import say
from stt_tune.results.trials import COMPLETED, INTERRUPTED, STOPPED_EARLY, Trial, TrialTable
from stt_tune.run.budget import Budget, is_reached
from stt_tune.run.cluster import TrialResources, find_fitting
from stt_tune.run.controller import fault_tolerant
from stt_tune.run.faults import Faults
from stt_tune.run.folder import RunFolder
from stt_tune.run.interrupts import lent_to_tune
from stt_tune.run.journal import forget_journals
from stt_tune.run.mailbox import Mailbox
from stt_tune.run.meter import Meter
from stt_tune.run.recorder import UNREPORTED, Recorder
from stt_tune.run.spent import Spent
from stt_tune.run.tracking import build_trackers
from stt_tune.run.waiting import WaitingRoom
from stt_tune.run.wandb_function import RunIdentity
from stt_tune.sweep.config import SweepConfig
from stt_tune.sweep.nesting import flatten
from stt_tune.sweep.numerals import is_count
from stt_tune.sweep.observation import Observation
from stt_tune.sweep.rungs import EPOCHS
from stt_tune.sweep.samplers import build_sampler
from stt_tune.sweep.scheduler import build_scheduler
from stt_tune.sweep.searcher import SweepSearcher, TrialGenerator

Trainable = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class TrialPlan:
    """What is to be run, beside the sweep and the training function.

    Attributes:
        num_trials: How many trials the sweep has in all.
        seed: Of the configurations.
        resources: What a trial gets.
        scheduler: One of `SCHEDULERS`.
        identity: What W&B runs are to be.
        default: The configuration of the first trial; None: it is chosen like the others.
        first: Configurations of the first trials after the default.
        budget: What ends the sweep before its last trial.
        trial_timeout_s: How long a trial may go on without a report.
        complete: Fills in what the sweep leaves out of a configuration.
        on_change: Called with the table and the trial after every change.
        on_step: Called all the time with what the sweep has cost.
    """

    num_trials: int
    seed: int
    resources: TrialResources
    scheduler: str
    identity: RunIdentity
    default: Mapping[str, Any] | None = None
    first: Sequence[Mapping[str, Any]] = ()
    budget: Budget = field(default_factory=Budget)
    trial_timeout_s: float | None = None
    complete: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict
    on_change: Callable[[TrialTable, Trial], None] = lambda _table, _trial: None
    on_step: Callable[[Spent], None] = lambda _spent: None


def run_trials(
    sweep: SweepConfig, trainable: Trainable, plan: TrialPlan, *, folder: RunFolder, table: TrialTable
) -> str:
    """Run what of the sweep is not in `table` yet, and enter it there.

    Must be called while connected to Ray. Trials of an earlier start that ended are not run again;
    those that were interrupted go on, under the id that they had.

    Returns:
        What ended the sweep before its last trial; empty where nothing did.

    Raises:
        SweepInterruptedError: Ctrl-C; the table holds what was reported until then.
        SweepHaltedError: The table could not be written, Ray itself failed, or the first trials did
            not report the metric.
        SweepConfigError: No trial reports the sweep's metric.
    """
    budget, ended = plan.budget, table.ended()
    metric = budget.aim(sweep.metric)
    planned = _plan_trials(sweep, plan, table)
    if is_reached(metric, table):
        reason = f"the target of {metric.name}, {metric.target:g}, is reached"
        say(f"{reason}: no further trials are started")
        return reason
    if not planned:
        say(f"all {plan.num_trials} trials of {sweep.name} are finished: nothing to run")
        return ""
    searcher = SweepSearcher(
        sweep,
        build_sampler(sweep, plan.seed, plan.default, budget.min_improvement),
        planned,
        observe=lambda: observe(sweep, table, running=searcher.numbers.values()),
        default=plan.default,
        complete=plan.complete,
        ids={trial.number: trial.trial_id for trial in table.trials if trial.status == INTERRUPTED},
    )
    scheduler = build_scheduler(plan.scheduler, sweep, plan.default, searcher.is_default)
    for trial in table.trials:
        scheduler.replay(trial.trial_id, trial.configuration, trial.reports)
    _forget_ended(folder, table)
    recorder = Recorder(table, folder, metric, searcher, scheduler, plan.on_change, plan.trial_timeout_s)

    def end() -> None:
        searcher.finish()
        scheduler.is_ending = True

    meter = Meter(budget, folder.spent, plan.resources.gpus, end, plan.on_step)
    spent = meter.find_spent()
    if spent and ended:
        say(f"{spent}: no further trials are started")
        return spent

    faults = Faults(folder.faults, lambda: find_fitting(plan.resources))
    say(f"starting {len(planned)} trials, {plan.resources.max_concurrent} at a time")
    trackers = build_trackers(plan.identity, recorder.status_of)
    callbacks: list[Callback] = [recorder, meter, WaitingRoom(plan.resources), Mailbox(), *trackers, _Silence()]
    with tempfile.TemporaryDirectory(prefix="stt_tune-") as scratch:
        tuner = tune.Tuner(
            tune.with_resources(trainable, plan.resources.to_placement()),
            tune_config=tune.TuneConfig(
                num_samples=len(planned),
                search_alg=TrialGenerator(searcher, plan.resources.max_concurrent),
                scheduler=scheduler,
                reuse_actors=True,
            ),
            # nothing that Ray stores is read, so it need not lie where all nodes, or later starts, see it
            run_config=tune.RunConfig(
                name="sweep",
                storage_path=scratch,
                callbacks=callbacks,
                verbose=0,
                progress_reporter=tune.CLIReporter(),  # silent; the one for notebooks would wipe our table away
            ),
        )
        try:
            with lent_to_tune() as interrupted:
                _fit(tuner, folder, faults, plan.resources)
        except SweepHaltedError:
            with contextlib.suppress(OSError):  # it may be the disk that has halted it
                table.save(folder.trials)
            raise
    recorder.finish()
    meter.save()
    _forget_ended(folder, table)
    ended_by = recorder.ended_by or meter.ended_by or (_tell_exhausted(budget) if searcher.is_exhausted else "")
    ended_by = _conclude(sweep, plan.num_trials, ended_by, table, planned, scheduler.halted)
    if interrupted.is_set():  # behind the last trial
        raise SweepInterruptedError(f"interrupted with all of {plan.num_trials} trials finished.")
    return ended_by


def _tell_exhausted(budget: Budget) -> str:
    """Why a search has no more to propose."""
    if budget.min_improvement is None:
        return "all configurations of the sweep have been tried"
    return f"the model expects the next trial to improve on the best by less than {budget.min_improvement:.2%}"


def _fit(tuner: tune.Tuner, folder: RunFolder, faults: Faults, resources: TrialResources) -> None:
    """Run the trials.

    Raises:
        SweepHaltedError: A callback raised an error, such as that of a full disk, or Ray failed.
    """
    try:
        with fault_tolerant(faults, resources.to_placement, resources.max_concurrent):
            tuner.fit()
    except TuneError as error:
        # Ray wraps what a callback raises in the text of its traceback
        reason = str(error).strip().splitlines()[-1]
        raise SweepHaltedError(
            f"{folder.path}: the sweep could not go on ({reason}). What was finished is kept."
        ) from error


def _forget_ended(folder: RunFolder, table: TrialTable) -> None:
    """Delete what trials needed to go on; those that were interrupted still do."""
    forget_journals(folder.share(folder.checkpoints), [trial.trial_id for trial in table.ended()])


class _Silence(TrialProgressCallback):
    """Takes the place of Ray's printer, which says a word on some trials whatever `verbose` is."""

    def on_trial_complete(self, *args: Any, **kwargs: Any) -> None:
        """Print nothing."""

    def log_result(self, *args: Any, **kwargs: Any) -> None:
        """Print nothing."""


def _plan_trials(sweep: SweepConfig, plan: TrialPlan, table: TrialTable) -> dict[int, Mapping[str, Any] | None]:
    """The numbers of the trials to run, with the configurations of those that were interrupted, or come first."""
    begun = {trial.number for trial in table.trials}
    interrupted = {
        trial.number: sweep.nest(trial.configuration) for trial in table.trials if trial.status == INTERRUPTED
    }
    # a run that is refined leaves gaps in the numbers; those that are filled count like all others
    count = max(plan.num_trials - len(begun), 0)
    new = [number for number in range(plan.num_trials) if number not in begun][:count]
    free = [number for number in new if number or plan.default is None]
    first = dict(zip(free, _find_untried(plan.first, table), strict=False))
    known = {**first, **interrupted}
    return {number: known.get(number) for number in sorted([*interrupted, *new])}


def _find_untried(configurations: Sequence[Mapping[str, Any]], table: TrialTable) -> list[Mapping[str, Any]]:
    """Those that no trial has: a run that is given more trials has room for more of them."""

    def describe(flat: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in flat.items() if value is not None}  # as tables on disk have it

    tried = [describe(trial.configuration) for trial in table.trials]
    return [each for each in configurations if describe(flatten(each)) not in tried]


def observe(sweep: SweepConfig, table: TrialTable, *, running: Collection[int]) -> list[Observation]:
    """Trials that have ended, and those that run; not those that an earlier start left unfinished.

    Args:
        sweep: What is searched.
        table: All trials.
        running: Numbers of trials that this start has proposed.
    """
    metric = sweep.metric.name
    whole = [len(trial.values(metric)) for trial in table.trials if trial.status == COMPLETED]
    return [
        Observation(
            trial.number,
            sweep.nest(trial.configuration),
            trial.outcome(metric),
            tuple(trial.values(metric)),
            share=_find_share(trial, max(whole, default=0)) if trial.status == STOPPED_EARLY else 1.0,
        )
        for trial in table.trials
        if trial.status != INTERRUPTED or trial.number in running
    ]


def _find_share(trial: Trial, longest: int) -> float:
    """How much of its run a trial has done that was stopped; one of unknown length would have gone as far as any."""
    planned, epoch = trial.configuration.get(EPOCHS), int(trial.reports[-1]["epoch"])
    return min(epoch / (planned if is_count(planned) else max(longest, epoch)), 1.0)


def _conclude(
    sweep: SweepConfig,
    num_trials: int,
    ended_by: str,
    table: TrialTable,
    planned: Collection[int],
    halted: Collection[str],
) -> str:
    """Find out why Ray has returned, which says the same after Ctrl-C as after the last trial; give what ended it."""
    metric = sweep.metric.name
    if ended_by == UNREPORTED and not any(trial.values(metric) for trial in table.trials):
        reported = dict.fromkeys(name for trial in table.trials for report in trial.reports for name in report)
        found = f"they report {', '.join(reported)}. Name one of them"
        if not reported:  # names that were bound before a trial began are W&B's own, and lead past it
            found = "they report nothing. Report it; where W&B does, call wandb.init and wandb.log by these names"
        raise SweepConfigError(sweep.name, [f"metric.name: must be what trials report, found {metric!r}; {found}."])
    ended = {trial.number for trial in table.ended()}
    missing = [number for number in planned if number not in ended]
    if missing and ended_by == UNREPORTED:
        raise SweepHaltedError(
            f"{sweep.name}: the first trials ended without a {metric}, so {len(missing)} others were not started; one "
            "has reported it since. Mend the training function, or go on as it is."
        )
    is_running = any(trial.status == INTERRUPTED and trial.trial_id not in halted for trial in table.trials)
    if missing and (not ended_by or is_running):
        raise SweepInterruptedError(f"interrupted with {len(ended)} of {num_trials} trials finished.")
    if not missing:
        return ""
    stopped = f", {len(halted)} were stopped on their way" if halted else ""
    say(f"{ended_by}: {len(missing) - len(halted)} trials were not started{stopped}")
    return ended_by
