"""Run a sweep over any training function: `run_sweep`."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

from stt_tune.errors import SettingsError, SweepFailedError, SweepHaltedError, SweepInterruptedError
from stt_tune.progress import say
from stt_tune.results.trials import Trial, TrialTable
from stt_tune.run.budget import Budget
from stt_tune.run.cluster import connect, find_resources
from stt_tune.run.display import SweepDisplay
from stt_tune.run.events import SweepEvents, is_heard
from stt_tune.run.folder import SCHEDULER, SETTINGS, RunFolder
from stt_tune.run.mps import sharing
from stt_tune.run.opening import opened
from stt_tune.run.project import choose_project
from stt_tune.run.seeds import MOST_SEED, is_seed
from stt_tune.run.settings import WANDB_MODES
from stt_tune.run.spent import Spent
from stt_tune.run.standing import Standing
from stt_tune.run.visibility import visible
from stt_tune.storage import as_path, is_url
from stt_tune.sweep.config import SweepConfig
from stt_tune.sweep.early_terminate import SCHEDULERS
from stt_tune.sweep.nesting import flatten
from stt_tune.sweep.numerals import as_whole, is_count, is_number, read_numerals
from stt_tune.sweep.plain import PLAIN, find_odd

if TYPE_CHECKING:
    import pandas as pd

P = ParamSpec("P")

_COUNT = "a whole number of at least 1"


@dataclass(frozen=True)
class SweepResult:
    """What a sweep gave.

    Attributes:
        folder: Where everything lies.
        table: Every trial.
        sweep: The sweep that ran.
        ended_by: What ended it before its last trial, such as a budget that is spent; empty where nothing did.
    """

    folder: RunFolder
    table: TrialTable
    sweep: SweepConfig
    ended_by: str = ""

    def __repr__(self) -> str:
        """In one line: where, how many, how they ended."""
        counts = ", ".join(f"{count} {status}" for status, count in self.table.counts().items())
        return f"SweepResult({self.folder.location!r}, {len(self.table.trials)} trials: {counts or 'none'})"

    @property
    def best_trial(self) -> Trial:
        """The completed trial whose last report is best.

        Raises:
            SweepFailedError: No trial was completed.
        """
        best = self.table.best(self.sweep.metric.name, self.sweep.metric.mode)
        if best is None:
            counts = (
                ", ".join(f"{count} {status}" for status, count in self.table.counts().items()) or "none was started"
            )
            errors = next((f" First error: {trial.error}" for trial in self.table.trials if trial.error), "")
            raise SweepFailedError(f"no trial was completed ({counts}), so there is nothing to choose from.{errors}")
        return best

    @property
    def best_run(self) -> dict[str, Any]:
        """The best trial as plain values: `hyperparameters`, `metric`, `metric_value`, `trial_id`, `number`, `epochs`.

        The metric is what the sweep itself measured: choosing the best of many flatters it.

        Raises:
            SweepFailedError: No trial was completed.
        """
        best, metric = self.best_trial, self.sweep.metric
        return {
            "hyperparameters": self.sweep.nest(best.configuration),
            "metric": metric.name,
            "metric_value": best.last(metric.name),
            "goal": metric.goal,
            "trial_id": best.trial_id,
            "number": best.number,
            "is_default": best.is_default,
            "epochs": best.reports[-1]["epoch"],
        }

    def dataframe(self) -> pd.DataFrame:
        """One row a trial, with each metric as it was last reported; columns as `load_trials` gives them."""
        from stt_tune.results.frames import trials_frame

        return trials_frame(self.table)

    def reports(self) -> pd.DataFrame:
        """One row a report; columns as `load_reports` gives them."""
        from stt_tune.results.frames import reports_frame

        return reports_frame(self.table)


def _in_opened_folder(run: Callable[P, SweepResult]) -> Callable[P, SweepResult]:
    """Let a sweep that is to lie at a URL run in this machine's copy of it."""

    @functools.wraps(run)
    def run_there(*args: P.args, **options: P.kwargs) -> SweepResult:
        location: Any = options.get("storage_path")
        if not is_url(location):
            return run(*args, **options)
        with opened(location) as folder:
            options["storage_path"] = folder.path
            return run(*args, **options)

    return run_there


@_in_opened_folder
def run_sweep(
    sweep: SweepConfig | Mapping[str, Any] | str | Path,
    train_fn: Callable[..., Any],
    *,
    num_trials: int | None = None,
    seed: int = 0,
    storage_path: str | Path | None = None,
    max_concurrent_trials: int | None = None,
    resources_per_trial: Mapping[str, Any] | None = None,
    wandb_mode: str = "offline",
    wandb_project: str | None = None,
    tags: Sequence[str] = (),
    scheduler: str = "asha",
    default: Mapping[str, Any] | None = None,
    first: Sequence[Mapping[str, Any]] = (),
    budget: Budget | None = None,
    trial_timeout_s: float | None = None,
    complete: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None,
    address: str | None = None,
    insecure_cluster: bool = False,
    resume: bool = False,
) -> SweepResult:
    """Run the trials of a sweep in parallel on Ray Tune.

    Args:
        sweep: The sweep, what its YAML file holds, or the file's path.
        train_fn: Trains one configuration, in one of three ways: a function of the configuration
            that calls `stt_tune.report(epoch=..., wer=...)` after every epoch; one that returns its
            metrics as a dict, or yields one for each epoch; or a W&B agent function as it stands,
            without arguments, that calls `wandb.init()`, reads `wandb.config` and calls `wandb.log()`.
        num_trials: How many trials the sweep has in all; None: its `run_cap`, the whole grid, or 20.
        seed: Of the configurations. Trials one at a time, the same seed gives the same ones.
        storage_path: The run folder, a path or a URL such as `s3://bucket/runs/digits`; None: `runs/NAME-OF-SWEEP`.
        max_concurrent_trials: None: one a GPU, or one on all CPU cores.
        resources_per_trial: `{"cpu": ..., "gpu": ...}`, fractions allowed, `gpu_type` (such as "H100") and
            `gpu_memory_gb` (of each GPU at least); what is left out is found.
        wandb_mode: `offline`, `online` or `disabled`.
        wandb_project: None: the sweep's project, or `stt-tune`.
        tags: On every W&B run, after `stt-tune` and the method.
        scheduler: `asha` on the bands of `early_terminate`, `wandb-hyperband` (W&B's own rule), or `none`.
        default: The configuration of the first trial, which is never stopped early; None: the sweep's
            own, if it has one. A grid never has it.
        first: Configurations of the first trials after the default, such as earlier winners; not for a grid.
        budget: What ends the sweep before its last trial.
        trial_timeout_s: A trial that reports nothing for so long is taken to hang: its process is ended, and the trial
            begun again; one that hangs eight times without an epoch between has failed.
        complete: Fills in what the sweep leaves out of a configuration; None: the default does.
        address: A Ray cluster to join; None: a Ray of this run's own, unless one is connected to.
        insecure_cluster: Whether it may be one that others can reach, and that asks for no token.
        resume: Whether to go on with the sweep in `storage_path`, up to `num_trials`.

    Raises:
        SttTuneError: Something that was given cannot be used (nothing has been started then), the
            sweep failed, or it was interrupted (what was finished is kept).
    """
    sweep = read_sweep(sweep)
    num_trials, seed, max_concurrent_trials = map(as_whole, (num_trials, seed, max_concurrent_trials))
    default, first = read_numerals(default), [read_numerals(each) for each in first]
    folder = RunFolder(Path(as_path(str(storage_path or Path("runs") / sweep.name))).absolute())
    if resume:
        RunFolder.existing(folder.path)
        sweep, seed, default = _agree(folder, sweep, seed, default)
    else:
        folder.check_new()
    default = None if sweep.method == "grid" else sweep.default if default is None else default
    budget = Budget() if budget is None else budget
    _check(
        sweep,
        default,
        first,
        budget,
        complete,
        num_trials,
        seed,
        max_concurrent_trials,
        trial_timeout_s,
        wandb_mode,
        scheduler,
    )
    num_trials = sweep.count_trials(num_trials)
    project = choose_project(wandb_mode, wandb_project, sweep.project)

    from stt_tune.run.showing import show_result
    from stt_tune.run.tracking import build_identity
    from stt_tune.run.trainable import TrainingTask, build_trainable, check_function
    from stt_tune.run.trials import TrialPlan, run_trials
    from stt_tune.run.wandb_place import note_place

    check_function(train_fn, sweep.parameters)
    for hint in sweep.hints:
        say(hint)
    identity = build_identity(
        wandb_mode,
        folder=folder.path,
        project=project,
        group=sweep.name,
        tags=("stt-tune", sweep.method, *tags),
        entity=sweep.entity,
    )
    with contextlib.ExitStack() as stack:
        stack.enter_context(connect(address, insecure=insecure_cluster))
        resources = find_resources(max_concurrent=max_concurrent_trials, per_trial=resources_per_trial)
        budget.check_resources(resources)
        stack.enter_context(sharing(resources))
        marker = stack.enter_context(visible(folder, resources))
        trainable = build_trainable(
            TrainingTask(train_fn, sweep.metric.name, identity, str(Path.cwd()), trial_timeout_s, marker)
        )
        with folder.locked():
            if not resume:
                folder.check_new()  # another may have begun meanwhile
                folder.start(replace(sweep, num_trials=num_trials), seed, default, {SCHEDULER: scheduler})
            else:
                _note(folder, sweep, num_trials, scheduler)
            table = folder.read_table((sweep.metric.name,))
            standing = Standing(table, sweep.metric, num_trials, Spent.read(folder.spent), budget.time_s)
            # lines on stdout would run through a table that is drawn
            display = SweepDisplay(sweep.metric, num_trials, budget.time_s, in_lines=is_heard())
            events = SweepEvents(folder.location, sweep, standing)
            plan = TrialPlan(
                num_trials=num_trials,
                seed=seed,
                resources=resources,
                scheduler=scheduler,
                identity=identity,
                default=default,
                first=first,
                budget=budget,
                trial_timeout_s=trial_timeout_s,
                complete=complete or functools.partial(_fill_in, sweep, default or {}),
                on_change=_all_of(display.update, events.update),
                on_step=_all_of(display.refresh, events.refresh),
            )
            with events, folder.written(), _kept(folder, table, num_trials), folder.searching(), display:
                note_place(folder, identity)
                is_all = SETTINGS not in folder.read_run()  # otherwise held-out speech is asked next
                ended_by = run_trials(sweep, trainable, plan, folder=folder, table=table)
    if is_all:
        show_result(folder)
    return SweepResult(folder, table, sweep, ended_by)


def _all_of(*calls: Callable[P, None]) -> Callable[P, None]:
    """A call that makes all of these, one after another."""

    def call(*args: P.args, **options: P.kwargs) -> None:
        for each in calls:
            each(*args, **options)

    return call


@contextlib.contextmanager
def _kept(folder: RunFolder, table: TrialTable, num_trials: int) -> Iterator[None]:
    """Say of whatever ends a sweep before its time what is kept, and how to go on."""
    try:
        yield
    except (KeyboardInterrupt, SweepInterruptedError) as stop:
        raise SweepInterruptedError(
            f"Interrupted: {len(table.ended())} of {num_trials} trials are finished and kept in {folder.location}\n"
            f"{folder.how_to_go_on()}"
        ) from stop
    except SweepHaltedError as halt:
        raise SweepHaltedError(f"{halt}\n{folder.how_to_go_on()}") from halt


def read_sweep(sweep: SweepConfig | Mapping[str, Any] | str | Path) -> SweepConfig:
    """Read a sweep from whatever it is given as.

    Raises:
        SweepConfigError: It cannot be run.
    """
    if isinstance(sweep, SweepConfig):
        return sweep
    return SweepConfig.from_yaml(sweep) if isinstance(sweep, str | Path) else SweepConfig.from_dict(sweep)


def _agree(
    folder: RunFolder, sweep: SweepConfig, seed: int, default: Mapping[str, Any] | None
) -> tuple[SweepConfig, int, Mapping[str, Any] | None]:
    """Give what a sweep began with, and refuse what is not the same."""
    began, run = folder.read_sweep(), folder.read_run()
    asked: tuple[tuple[str, Any, Any], ...] = (
        ("sweep", {**began.to_dict(), "name": ""}, {**sweep.to_dict(), "name": ""}),
        ("seed", run["seed"], seed),
        ("default", began.default, began.default if default is None else dict(default)),
    )
    for name, then, now in asked:
        if then != now:
            raise SettingsError(
                f"{folder.path}: must be resumed with the {name} that it began with, found another. Name another "
                "folder for a new sweep."
            )
    return began, run["seed"], began.default


def _note(folder: RunFolder, sweep: SweepConfig, num_trials: int, scheduler: str) -> None:
    """Write down what is another now than when the sweep began."""
    run = folder.read_run()
    changed: dict[str, Any] = {}
    if num_trials > sweep.count_trials():
        changed["num_trials"] = num_trials  # else it would be taken for finished where it had ended before
    if SETTINGS not in run and run.get(SCHEDULER) != scheduler:
        changed[SCHEDULER] = scheduler
    if changed:
        folder.note(**changed)


def _fill_in(sweep: SweepConfig, default: Mapping[str, Any], drawn: Mapping[str, Any]) -> dict[str, Any]:
    """Add to a configuration what the sweep leaves out and the default has."""
    own = tuple(f"{name}." for name in sweep.parameters)
    others = {name: value for name, value in flatten(default).items() if not f"{name}.".startswith(own)}
    return sweep.nest({**others, **sweep.flatten(drawn)})


def _check(
    sweep: SweepConfig,
    default: Mapping[str, Any] | None,
    first: Sequence[Any],
    budget: Any,
    complete: Any,
    num_trials: int | None,
    seed: int,
    max_concurrent: int | None,
    trial_timeout_s: float | None,
    wandb_mode: str,
    scheduler: str,
) -> None:
    """Refuse what cannot hold, all of it at once."""
    problems = [
        f"{name} must be {must}, found {value!r}."
        for name, value, must, holds in (
            ("num_trials", num_trials, _COUNT, num_trials is None or is_count(num_trials)),
            ("seed", seed, f"a whole number from 0 to {MOST_SEED}", is_seed(seed)),
            ("max_concurrent_trials", max_concurrent, _COUNT, max_concurrent is None or is_count(max_concurrent)),
            (
                "trial_timeout_s",
                trial_timeout_s,
                "a number of seconds above 0",
                trial_timeout_s is None or (is_number(trial_timeout_s) and trial_timeout_s > 0),
            ),
            ("wandb_mode", wandb_mode, f"one of {', '.join(WANDB_MODES)}", wandb_mode in WANDB_MODES),
            ("scheduler", scheduler, f"one of {', '.join(SCHEDULERS)}", scheduler in SCHEDULERS),
        )
        if not holds
    ]
    configurations = {"default": default, **{f"first[{i}]": each for i, each in enumerate(first)}}
    problems += [
        f"{name} must be of {PLAIN}, found {odd}."
        for name, each in configurations.items()
        if (odd := next(find_odd(each, for_json=name == "default"), None))
    ]
    if complete is None:
        problems += _find_incomplete(sweep, configurations)
    if first and sweep.method == "grid":
        problems.append("first must be given with the method random or bayes, found grid, which tries all it has.")
    if not isinstance(budget, Budget):
        problems.append(f"budget must be a Budget, such as Budget(time_s=7200), found {budget!r}.")
    if problems:
        raise SettingsError("\n".join(problems))
    budget.check(sweep)


def _find_incomplete(sweep: SweepConfig, configurations: Mapping[str, Any]) -> Iterator[str]:
    """Say which configurations cannot be trained as they are."""
    for name, each in configurations.items():
        if each is not None and not isinstance(each, Mapping):
            yield f"{name} must be a configuration, found {each!r}."
        missing = [parameter for parameter in sweep.parameters if parameter not in sweep.flatten(each or {})]
        if isinstance(each, Mapping) and missing:
            yield f"{name} must name every parameter of the sweep; {', '.join(missing)} are missing."
