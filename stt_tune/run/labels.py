"""Tell error cases apart by kind, with the base model's help where a manifest does not say what was heard."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from stt_tune.errors import ManifestError, SweepConfigError
from stt_tune.progress import say
from stt_tune.run.cluster import TrialResources
from stt_tune.run.speech_trial import SpeechTask
from stt_tune.run.untrained import hear_untrained
from stt_tune.speech.manifest import SPLITS
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
    heard = {errors.id: errors for errors in hear_untrained(task, unlabelled, resources, " and ".join(splits))}
    labelled = {
        split: [
            replace(each, kind=heard[each.id].kind, is_labelled=True, base=heard[each.id]) if each.id in heard else each
            for each in getattr(task.data, split)
        ]
        for split in splits
    }
    return replace(task, data=replace(task.data, **labelled))


def select_cases(task: SpeechTask, resources: TrialResources, split: str, only_kind: str | None) -> SpeechTask:
    """Label the cases of one split; or, where only one kind is wanted, those of all splits, and leave these.

    Raises:
        SweepFailedError: The base model could not be run.
        ManifestError: A split has too few cases of the kind.
    """
    if only_kind is None:
        return label_cases(task, resources, (split,))
    return keep_kind(label_cases(task, resources, SPLITS), only_kind)


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
    counts = ", ".join(f"{len(kept[split])} {split}" for split in SPLITS)
    say(f"of them, cases of {kind} alone: {counts}; what they tell apart is less than what was said of all")
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
