"""The main job: from a sweep file and a manifest to a confirmed `optimal_config.json`."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stt_tune.errors import (
    SettingsError,
    SweepConfigError,
    SweepInterruptedError,
)
from stt_tune.files import write_lines
from stt_tune.progress import say
from stt_tune.results.optimal_config import update_config
from stt_tune.results.trials import Trial, TrialTable
from stt_tune.run.best_model import forget_unended, keep_best
from stt_tune.run.cluster import TrialResources, connect, find_resources
from stt_tune.run.folder import HAS_CONCLUDED, HAS_SEARCHED, SETTINGS, RunFolder
from stt_tune.run.mirror import collect
from stt_tune.run.mps import sharing
from stt_tune.run.opening import opened
from stt_tune.run.project import choose_project
from stt_tune.run.replacement import Replacement, conclude_run
from stt_tune.run.settings import AUTO, TuneSettings
from stt_tune.run.showing import show_result
from stt_tune.run.sweep import SweepResult, run_sweep
from stt_tune.run.visibility import check_visible
from stt_tune.speech.hyperparameters import NAMES, complete, find_problems
from stt_tune.speech.report import METRICS
from stt_tune.speech.rows import check_there
from stt_tune.sweep.config import SweepConfig, find_examples
from stt_tune.sweep.distributions import Parameter
from stt_tune.sweep.metric import Metric

if TYPE_CHECKING:
    from stt_tune.run.data import PreparedSpeech
    from stt_tune.run.held_out import Confirmation
    from stt_tune.run.speech_trial import SpeechTask

LIGHT_TRAININGS = 2
"""How often the winner and what it has to beat are trained anew at the end of a sweep: once does not
show how far trainings differ in nothing but their seed."""

RETUNE_TRAININGS = 3
"""The same where a file in production is to be replaced: enough to find a gain of 20 % where trainings differ."""

# ray, torch and transformers are imported inside the functions below: they take seconds, and a
# mistake in the sweep file is to be told at once.


@dataclass(frozen=True)
class TuneResult:
    """What a finished run gave.

    Attributes:
        folder: Where everything lies.
        table: Every trial.
        winner: The trial that was best on dev.
        document: What `optimal_config.json` holds.
        sweep: The sweep that ran.
        replacement: What became of the shared file, where the run was a re-tune.
    """

    folder: RunFolder
    table: TrialTable
    winner: Trial
    document: Mapping[str, Any]
    sweep: SweepConfig
    replacement: Replacement | None = None


def tune(sweep: Path | SweepConfig, settings: TuneSettings, out: str | Path) -> TuneResult:
    """Run a sweep, confirm its winner on the test split, and write all of it into `out`.

    Args:
        sweep: A W&B sweep file, or what was read from one.
        settings: What to run it on.
        out: The run folder, a path or a URL such as `s3://bucket/runs/digits`; it must not hold a run yet.

    Raises:
        SttTuneError: Something that the user gave cannot be used (nothing has been started then),
            the run failed, or it was interrupted (what was finished is kept).
    """
    with opened(out) as folder:
        folder.check_new()
        if not isinstance(sweep, SweepConfig):
            sweep = SweepConfig.from_yaml(sweep, also=find_speech_problems)
        check_fits(sweep, settings)
        speech = load_prepared(settings)
        return run_new(folder, sweep, settings, speech)


def check_fits(sweep: SweepConfig, settings: TuneSettings) -> None:
    """Make sure that budget and earlier winners have a meaning for the sweep, and W&B takes its project.

    Raises:
        SettingsError: They have none, or it does not.
    """
    settings.budget.check(sweep)
    choose_project(settings.wandb, settings.wandb_project, sweep.project)
    if settings.start_from and sweep.method == "grid":
        raise SettingsError(
            "--start-from: must be given with the method random or bayes, found grid, which tries all it has. Leave it "
            "out."
        )
    if settings.target_wer is not None and sweep.metric.name != "wer":
        raise SettingsError(
            f"--target-wer: must be given where the metric is wer, found {sweep.metric.name}. Write metric.target into "
            "the sweep file."
        )


def run_new(
    folder: RunFolder,
    sweep: SweepConfig,
    settings: TuneSettings,
    speech: PreparedSpeech,
    earlier: RunFolder | None = None,
) -> TuneResult:
    """Begin a run and bring it to its end.

    Args:
        folder: Where nothing lies yet.
        sweep: What is searched.
        settings: On what.
        speech: The data.
        earlier: A run whose trials are the first ones of this.

    Raises:
        SttTuneError: As `tune`.
    """
    _check_family(sweep, settings, speech)

    def start() -> None:
        folder.check_new()  # another may have begun meanwhile
        if earlier is not None:
            folder.take_over(earlier, METRICS)
        _start(folder, sweep, settings, speech)

    return run_on(folder, sweep, settings, speech, start)


def find_speech_problems(parameters: Mapping[str, Parameter], metric: Metric | None) -> list[str]:
    """Say what of a sweep fine-tuning does not know, one line a problem.

    Args:
        parameters: Distributions by dotted names.
        metric: The objective; None where it cannot be read.
    """
    found = dict.fromkeys(problem for example in find_examples(parameters) for problem in find_problems(example))
    problems = [f"parameters.{problem}" for problem in found]
    if metric and metric.name not in METRICS:
        problems.append(f"metric.name: must be one of {', '.join(METRICS)}; found {metric.name!r}.")
    elif metric and metric.goal != "minimize":
        problems.append(f"metric.goal: must be minimize for {metric.name}, found {metric.goal!r}.")
    if (metric and metric.name not in METRICS) or any(name not in NAMES for name in parameters):
        problems.append(
            "for fine-tuning by stt-tune tune; a training function of your own may have others: run_sweep, "
            "stt-tune validate --own-training."
        )
    return problems


def _check_family(sweep: SweepConfig, settings: TuneSettings, speech: PreparedSpeech) -> None:
    """Refuse hyperparameters that this model or these data give no meaning.

    Raises:
        SweepConfigError: The sweep or the default configuration has some.
    """
    default = settings.default_configuration()
    examples = [complete(each, default) for each in find_examples(sweep.parameters)]
    problems = [f"--default.{problem}" for problem in speech.find_unsuited(default)]
    problems += [
        f"--start-from.{problem}"
        for each in settings.start_from
        for problem in speech.find_unsuited(complete(each, default))
    ]
    problems += [f"parameters.{problem}" for each in examples for problem in speech.find_unsuited(each)]
    possible = {name for each in examples for name, value in each.items() if value and value != "none"}
    if {"lora_rank", "base_weight"} <= possible:
        problems.append("parameters: lora_rank and base_weight exclude each other. Leave one out.")
    if "lora_rank" in possible:
        from stt_tune.speech.adaptation import import_peft

        import_peft()
    if problems:
        raise SweepConfigError(sweep.name, dict.fromkeys(problems))
    if settings.ctranslate2:
        from stt_tune.speech.saved import import_converters

        import_converters()
        kind = speech.task.model.config.model_type
        if kind != "whisper":
            raise SettingsError(f"--ctranslate2: is for Whisper, found a {kind} model. Leave it out.")


def load_prepared(settings: TuneSettings) -> PreparedSpeech:
    """Load model and data, and say so.

    Raises:
        SttTuneError: They cannot be used.
    """
    check_there(settings.data, "Check the path; of a run whose data have moved, --data says where they lie now.")
    for source in (settings.replay, settings.guard):
        check_there(source, "Check the path; of a run that goes on, put it back there.")
    say(f"loading the model {settings.model} and checking {settings.data}")
    # transformers prints to stdout on import where W&B is offline; stdout is for results
    with contextlib.redirect_stdout(sys.stderr):
        from stt_tune.run.data import load_speech

    return load_speech(settings)


def run_on(
    folder: RunFolder,
    sweep: SweepConfig,
    settings: TuneSettings,
    speech: PreparedSpeech,
    start: Callable[[], None] = lambda: None,
) -> TuneResult:
    """Bring a run to its end.

    Args:
        folder: Where it lies.
        sweep: What is searched.
        settings: On what.
        speech: The data.
        start: Called before anything else is written.

    Raises:
        SttTuneError: As `tune`.
    """
    from stt_tune.run.packing import find_trials_per_gpu

    # locked until the result is written: whoever looks meanwhile would take the run for interrupted
    with _resumable(folder), contextlib.ExitStack() as locked:
        with connect(settings.address, insecure=settings.insecure_cluster):
            per_trial = settings.resources_per_trial
            if settings.trials_per_gpu == AUTO:
                default = settings.default_configuration()
                if count := find_trials_per_gpu(speech.task, sweep, default, per_trial):
                    per_trial["gpu"] = 1 / count
            resources = find_resources(max_concurrent=settings.max_concurrent, per_trial=per_trial)
            settings.budget.check_resources(resources)
            check_visible(folder, resources)
            locked.enter_context(folder.locked())
            start()
            folder.note(resources={"cpus": resources.cpus, "gpus": resources.gpus}, **{HAS_SEARCHED: False})
            if settings.retunes:
                folder.note(**{HAS_CONCLUDED: False})
            with folder.written(), sharing(resources):
                result, task = _search(folder, sweep, settings, speech, resources)
                confirmation = _confirm(folder, settings, speech, task, result, resources)
        from stt_tune.run.document import build_document

        document = build_document(folder, sweep, settings, result.table, confirmation, task.data.dev)
        document = update_config(folder.optimal_config, lambda _before: document)
        locked.close()
        replacement = _finish(folder, document, settings)
    return TuneResult(folder, result.table, result.best_trial, document, sweep, replacement)


def _finish(folder: RunFolder, document: Mapping[str, Any], settings: TuneSettings) -> Replacement | None:
    """Do what is left once the result is written: for W&B, which may take its time, as the last."""
    try:
        return conclude_run(folder, document, settings) if settings.retunes else None
    finally:
        show_result(folder)


def _start(folder: RunFolder, sweep: SweepConfig, settings: TuneSettings, speech: PreparedSpeech) -> None:
    facts = {SETTINGS: settings.to_dict(), **speech.facts()}
    folder.start(sweep, settings.seed, _find_default(sweep, settings, speech), facts)
    if speech.rejected:
        write_lines(folder.rejected, speech.rejected)
        say(f"{len(speech.rejected)} bad rows were set aside, see {folder.rejected}")


def _find_default(sweep: SweepConfig, settings: TuneSettings, speech: PreparedSpeech) -> dict[str, Any]:
    """The default configuration with all that the sweep searches, as the search begins around it."""
    default = settings.default_configuration(sweep.parameters)
    return {"freeze": speech.task.model.default_freeze, **default} if "freeze" in sweep.parameters else default


def _search(
    folder: RunFolder, sweep: SweepConfig, settings: TuneSettings, speech: PreparedSpeech, resources: TrialResources
) -> tuple[SweepResult, SpeechTask]:
    from stt_tune.run.labels import check_objective, select_cases
    from stt_tune.run.speech_trial import build_train
    from stt_tune.run.states import share_states

    default = _find_default(sweep, settings, speech)
    models = folder.share(folder.models) if settings.keep_best_model else None
    if models:
        forget_unended(folder)
    task = replace(
        speech.task,
        models=models,
        utterances=folder.share(folder.utterances),
        checkpoints=folder.share(folder.checkpoints),
    )
    task = select_cases(task, resources, "dev", settings.only_error_type)
    check_objective(sweep, task)
    task = share_states(task, sweep, default, resources)
    first = settings.first_configurations(default, sweep.count_trials(settings.trials))
    if settings.start_from:
        say(f"{len(first)} of {len(settings.start_from)} earlier winners come first, each once and not the default")
    result = run_sweep(
        sweep,
        build_train(task, resources, sweep.metric.name),
        num_trials=settings.trials,
        seed=settings.seed,
        storage_path=folder.path,
        max_concurrent_trials=resources.max_concurrent,
        resources_per_trial={**settings.resources_per_trial, "cpu": resources.cpus, "gpu": resources.gpus},
        wandb_mode=settings.wandb,
        wandb_project=settings.wandb_project,
        tags=(settings.model,),
        scheduler=settings.scheduler,
        default=default,
        first=first,
        budget=settings.budget,
        trial_timeout_s=settings.trial_timeout_s,
        complete=lambda configuration: complete(configuration, default),
        resume=True,
    )
    collect(folder, folder.utterances)
    if settings.keep_best_model:
        keep_best(folder, result.best_trial, settings)
    return result, task


def _confirm(
    folder: RunFolder,
    settings: TuneSettings,
    speech: PreparedSpeech,
    task: SpeechTask,
    result: SweepResult,
    resources: TrialResources,
) -> Confirmation:
    """Train the winner and what it has to beat anew; where dev prefers what there is, only this."""
    from stt_tune.run.held_out import confirm_systems, plan_systems

    best = result.best_trial
    is_known = settings.complete_configuration(best.configuration) == settings.incumbent_configuration()
    top = 0 if best.is_default or is_known else 1
    planned = plan_systems(result.table, result.sweep.metric, settings, top)
    trainings = RETUNE_TRAININGS if settings.retunes else LIGHT_TRAININGS
    data = folder.data_name(speech.beside_hash)
    return confirm_systems(folder, task, planned, settings, resources, trainings=trainings, data=data)


@contextlib.contextmanager
def _resumable(folder: RunFolder) -> Iterator[None]:
    """Say of a run that is interrupted after it has begun how to go on with it; a sweep says it itself."""
    try:
        yield
    except KeyboardInterrupt as stop:
        if not folder.run.exists():
            raise
        raise SweepInterruptedError(
            f"Interrupted: what was finished is kept in {folder.location}\n{folder.how_to_go_on()}"
        ) from stop
