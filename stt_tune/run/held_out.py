"""Confirm the best of a run: train them and what they have to beat anew, measure all on held-out speech."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stt_tune.errors import SweepFailedError
from stt_tune.results.confirmation import (
    CANDIDATE,
    DEFAULT,
    INCUMBENT,
    System,
    Verdict,
    confirm,
    renumber,
)
from stt_tune.results.statistics import Interval, find_rate
from stt_tune.results.trials import COMPLETED, TrialTable
from stt_tune.results.utterances import save_utterances
from stt_tune.run.anew import Training, measure_base, train_anew
from stt_tune.run.cluster import TrialResources
from stt_tune.run.folder import RunFolder
from stt_tune.run.guard import find_objection, find_rise, warn_of_guard
from stt_tune.run.measures import count_words, find_blocks, tabulate_errors
from stt_tune.run.settings import TuneSettings
from stt_tune.run.speech_trial import SpeechTask
from stt_tune.speech.decode import list_cases
from stt_tune.speech.example import Example
from stt_tune.speech.hyperparameters import Hyperparameters
from stt_tune.speech.normalisers import describe_normaliser
from stt_tune.speech.rates import UtteranceErrors, summarise
from stt_tune.speech.splits import count_speakers
from stt_tune.sweep.metric import Metric


@dataclass(frozen=True)
class Planned:
    """A configuration that is to be trained anew.

    Attributes:
        role: `default`, `incumbent` or `candidate`.
        name: What it is called.
        configuration: All its hyperparameters.
        promise: The relative gain over the default that dev promised, if it did.
        facts: What else is to be recorded of it.
    """

    role: str
    name: str
    configuration: Mapping[str, Any]
    promise: float | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Confirmation:
    """What was confirmed, and on what.

    Attributes:
        verdict: What was found.
        base_wer: The base model's, as it is.
        seeds: Each system was trained with each.
        blocks_are: `speaker`, `session` or `utterance`.
        speakers: How many are known.
        audio_context_s: What clips were padded to, in seconds; None where the model takes them as they are.
        guard: `utterances`, `base_wer` and `tolerance`; None without a guard.
    """

    verdict: Verdict
    base_wer: Interval
    seeds: Sequence[int]
    blocks_are: str
    speakers: int
    audio_context_s: float | None
    guard: Mapping[str, Any] | None

    def to_dict(self) -> dict[str, Any]:
        """`held_out`, as it stands in `optimal_config.json`."""
        verdict = self.verdict
        gain = verdict.gain
        wers = {"base_wer": self.base_wer, **({"wer": verdict.wer} if verdict.wer else {})}
        for name, role in (("default_wer", DEFAULT), ("incumbent_wer", INCUMBENT)):
            found = verdict.find(role)
            if found and found.wer:
                wers[name] = found.wer
        return {
            **{name: each.value for name, each in wers.items()},
            **{f"{name}_interval": [each.low, each.high] for name, each in wers.items()},
            # where there is nothing but what there was, nothing is gained
            "relative_gain": gain.relative if gain else 0.0,
            "interval": [gain.low, gain.high] if gain else [0.0, 0.0],
            "p_value": gain.p_value if gain else 1.0,
            "compared_with": verdict.reference.system.role,
            "choice": verdict.how,
            "utterances": len(verdict.measured),
            "words": int(verdict.words[verdict.measured].sum()),
            "blocks": verdict.blocks,
            "blocks_are": self.blocks_are,
            "speakers": self.speakers,
            "seeds": list(self.seeds),
            "training_noise": verdict.noise.sd if verdict.noise.df else None,
            "audio_context_s": self.audio_context_s,
            "guard": self.guard,
            "systems": [
                each.to_dict(verdict.words, verdict.measured, verdict.reference.system) for each in verdict.systems
            ],
        }


def plan_systems(table: TrialTable, metric: Metric, settings: TuneSettings, top: int) -> list[Planned]:
    """List what is to be trained anew: the default, the incumbent if there is one, and the best trials.

    Args:
        table: The sweep's trials.
        metric: What they are ordered by.
        settings: Tell the default and the incumbent; of a re-tune these are the same, unless production uses
            another one today.
        top: How many trials; completed ones that are neither the default nor the incumbent.
    """
    default, incumbent = settings.default_configuration(), settings.incumbent_configuration()
    if incumbent is None or incumbent == default:
        role = INCUMBENT if settings.retunes else DEFAULT
        planned = [Planned(role, role, default)]
    else:
        planned = [Planned(DEFAULT, DEFAULT, default), Planned(INCUMBENT, INCUMBENT, incumbent)]
    known = [each.configuration for each in planned]
    trials = [
        trial
        for trial in table.ranking(metric.name, metric.mode)
        if not trial.is_default and Hyperparameters.from_mapping(trial.configuration).to_dict() not in known
    ]
    trained = table.default()
    before = trained.last(metric.name) if trained and trained.status == COMPLETED else 0.0
    for trial in trials[:top]:
        value = trial.last(metric.name)
        planned.append(
            Planned(
                CANDIDATE,
                f"trial {trial.number}",
                dict(trial.configuration),
                promise=1 - value / before if before > 0 else None,
                facts={"trial_id": trial.trial_id, "number": trial.number, "metric_value": value},
            )
        )
    return planned


def confirm_systems(
    folder: RunFolder,
    task: SpeechTask,
    planned: Sequence[Planned],
    settings: TuneSettings,
    resources: TrialResources,
    *,
    trainings: int,
    data: str,
) -> Confirmation:
    """Train all of them with the same fresh seeds, measure them on the test split, and judge.

    Args:
        folder: Keeps the trainings, and what each system heard.
        task: What is trained on what.
        planned: The default or the incumbent, and candidates.
        settings: Of the run; `min_gain` is the least relative gain that counts.
        resources: What each training gets.
        trainings: Of each system.
        data: Stands for the data in the names of files.

    Raises:
        SweepFailedError: A training failed, or nothing is left to compare with.
        OSError: The folder cannot be written.
    """
    seeds = settings.fresh_seeds(trainings)
    configurations = [each.configuration for each in planned]
    base = measure_base(task, resources, folder.confirm, data)
    results = train_anew(task, configurations, seeds, resources, folder.confirm, data)
    _save(folder, task, planned, results, seeds)
    systems = [
        _measure(each, trainings, task.data.guard, base.guard, settings)
        for each, trainings in zip(planned, results, strict=True)
    ]
    blocks, blocks_are = find_blocks(task.data.test)
    words = count_words(base.test)
    try:
        verdict = confirm(systems, words, blocks, seed=settings.seed, min_gain=settings.min_gain)
    except ValueError as error:
        raise SweepFailedError(str(error)) from error
    guard = None
    if base.guard:
        guard = {
            "manifest": settings.guard,
            "utterances": len(base.guard),
            "base_wer": summarise(base.guard).wer,
            "tolerance": settings.guard_tolerance,
        }
        warn_of_guard(base.guard, settings.guard_tolerance)
    context_s = task.model.production_context_s
    speakers = count_speakers(task.data.test)
    measured = verdict.measured  # the same utterances as for the others
    base_wer = find_rate(
        tabulate_errors([base.test])[:, measured],
        words[measured],
        renumber(blocks[measured]),
        seed=settings.seed,
    )
    return Confirmation(verdict, base_wer, seeds, blocks_are, speakers, context_s, guard)


def _measure(
    planned: Planned,
    trainings: Sequence[Training],
    guarded: Sequence[Example],
    base: Sequence[UtteranceErrors],
    settings: TuneSettings,
) -> System:
    good = [each for each in trainings if not each.diverged]
    facts, refused = dict(planned.facts), None
    if base and good:
        rise = find_rise(base, [each.guard for each in good], guarded, settings.seed)
        facts["guard"] = {"rise": rise.value, "interval": [rise.low, rise.high]}
        refused = find_objection(rise, settings.guard_tolerance)
    return System(
        role=planned.role,
        name=planned.name,
        configuration=planned.configuration,
        errors=tabulate_errors([each.test for each in good]) if good else np.zeros((0, 0)),
        diverged=len(trainings) - len(good),
        training_s=float(np.mean([each.training_s for each in good or trainings])),
        promise=planned.promise,
        refused=refused,
        facts=facts,
    )


def _save(
    folder: RunFolder,
    task: SpeechTask,
    planned: Sequence[Planned],
    results: Sequence[Sequence[Training]],
    seeds: Sequence[int],
) -> None:
    rows = [
        {"system": each.name, "seed": seed, **case}
        for each, trainings in zip(planned, results, strict=True)
        for seed, training in zip(seeds, trainings, strict=True)
        if not training.diverged
        for case in list_cases(task.data.test, training.test)
    ]
    save_utterances(folder.held_out, rows, describe_normaliser(task.settings.normaliser))
