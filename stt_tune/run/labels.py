"""Tell error cases apart by kind, with the base model's help where a manifest does not say what was heard."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import ray

from stt_tune.errors import ManifestError, SweepConfigError, SweepFailedError
from stt_tune.progress import say
from stt_tune.run.cluster import TrialResources
from stt_tune.run.speech_trial import SpeechTask, use_cores
from stt_tune.speech.decode import measure
from stt_tune.speech.example import Example
from stt_tune.speech.manifest import SPLITS
from stt_tune.speech.normalisers import load_normaliser
from stt_tune.speech.rates import KINDS
from stt_tune.sweep.config import SweepConfig


def label_cases(task: SpeechTask, resources: TrialResources, splits: Sequence[str]) -> SpeechTask:
    """Find the kind of error of every example in `splits` that has none yet.

    Must be called while connected to Ray. What the production system heard is taken to be what the
    base model hears, at the full audio context.

    Raises:
        SweepFailedError: The base model could not be run, for example for want of memory.
    """
    unlabelled = [each for split in splits for each in getattr(task.data, split) if not each.is_labelled]
    if not unlabelled:
        return task
    say(f"finding out what the base model gets wrong: {len(unlabelled)} utterances of {' and '.join(splits)}")
    remote = ray.remote(num_cpus=resources.cpus, num_gpus=resources.gpus, max_retries=1)(_find_kinds)
    try:
        kinds: dict[str, str | None] = ray.get(remote.remote(task, unlabelled, int(resources.cpus)))
    except ray.exceptions.RayError as error:
        raise SweepFailedError(f"the base model could not be run: {str(error).strip().splitlines()[-1]}") from error
    labelled = {
        split: [
            replace(each, kind=kinds[each.id], is_labelled=True) if each.id in kinds else each
            for each in getattr(task.data, split)
        ]
        for split in splits
    }
    return replace(task, data=replace(task.data, **labelled))


def _find_kinds(task: SpeechTask, examples: Sequence[Example], cpus: int) -> dict[str, str | None]:
    use_cores(cpus)
    heard = measure(
        task.model.build(),
        examples,
        task.model,
        audio_context_s=task.model.max_context_s,
        normalise=load_normaliser(task.settings.normaliser),
    )
    return {errors.id: errors.kind for errors in heard.utterances}


def keep_kind(task: SpeechTask, kind: str) -> SpeechTask:
    """Leave only the cases of one kind, in every split.

    Raises:
        ManifestError: A split has too few of them.
    """
    kept = {split: [each for each in getattr(task.data, split) if each.kind == kind] for split in SPLITS}
    if not kept["train"] or not kept["dev"] or len(kept["test"]) < 2:
        found = ", ".join(f"{len(kept[split])} {split}" for split in SPLITS)
        raise ManifestError(
            f"--only-error-type {kind}: there must be at least 1 train, 1 dev and 2 test cases of it, found {found}."
        )
    return replace(task, data=replace(task.data, **kept))


def check_objective(sweep: SweepConfig, task: SpeechTask) -> None:
    """Say how many cases of each kind dev has, and refuse an objective that it has none for.

    Raises:
        SweepConfigError: The metric is the word error rate of a kind that dev lacks.
    """
    counts = Counter(each.kind for each in task.data.dev)
    told = ", ".join(f"{counts[kind]} {kind}" for kind in KINDS)
    say(f"dev cases by kind of error: {told}, {counts[None]} without error")
    kind = sweep.metric.name.removeprefix("wer_")
    if kind in KINDS and sweep.metric.name != kind and not counts[kind]:
        raise SweepConfigError(
            sweep.name, [f"metric.name: {sweep.metric.name} needs dev cases of that kind, found none ({told})."]
        )
