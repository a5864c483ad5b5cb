"""The trial of a speech sweep: fine-tuning inside a Ray worker, for the search and to confirm."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray import tune

from stt_tune.errors import DivergedError, SweepFailedError
from stt_tune.results.utterances import save_utterances
from stt_tune.run.cluster import TrialResources
from stt_tune.run.journal import Journal
from stt_tune.run.mailbox import Mailbox
from stt_tune.run.mps import sharing
from stt_tune.run.patience import keep_beside
from stt_tune.run.reporting import report
from stt_tune.run.slots import Slot, close, settle
from stt_tune.run.together import finetune_together
from stt_tune.run.trainable import TrainFunction
from stt_tune.run.waiting import wait_for_room
from stt_tune.speech.example import SpeechData
from stt_tune.speech.families.base import SpeechModel
from stt_tune.speech.finetune import TrainingSettings
from stt_tune.speech.normalisers import describe_normaliser
from stt_tune.speech.pushed import push_if_best
from stt_tune.speech.report import EpochReport
from stt_tune.speech.saved import save_if_best
from stt_tune.storage import is_url
from stt_tune.transfer import leave

_LOOK_EVERY_S = 1.0


@dataclass(frozen=True)
class SpeechTask:
    """What all trials of a speech sweep share.

    Attributes:
        data: The prepared splits.
        model: The weights to start from.
        settings: Seed, context, normaliser.
        utterances: The path or URL of a folder where trials leave what they heard, each in a file named by its
            id; None: nowhere.
        models: The path or URL of a folder where the best trial leaves its weights, in a folder named by its
            id; None: nowhere.
        checkpoints: The path or URL of a folder where trials keep what they need to go on after a fault, each in
            a folder named by its id; None: nowhere.
    """

    data: SpeechData
    model: SpeechModel
    settings: TrainingSettings
    utterances: str | None = None
    models: str | None = None
    checkpoints: str | None = None


def build_train(task: SpeechTask, resources: TrialResources, objective: str) -> TrainFunction:
    """Make the training function of a speech sweep; workers share one copy of the task.

    Must be called while connected to Ray.

    Args:
        task: What all trials share.
        resources: What each of them gets.
        objective: The metric that they are compared by.
    """
    shared = ray.put(task)

    def train(config: dict[str, Any]) -> None:
        settle(resources)
        task: SpeechTask = ray.get(shared)
        trial = tune.get_context().get_trial_id()
        journal = Journal(f"{task.checkpoints}/{trial}" if task.checkpoints else None)
        journal.tell_again(report)
        if journal.is_at_end:
            return
        normaliser = describe_normaliser(task.settings.normaliser)

        def tell(each: EpochReport) -> None:
            told = journal.enter(each.to_dict())
            if told is None:
                return
            if task.utterances and each.utterances:
                place = f"{task.utterances}/{trial}.parquet"
                rows = [{"system": trial, "seed": task.settings.seed, **case} for case in each.utterances]
                keep_beside(lambda: leave(place, lambda path: save_utterances(path, rows, normaliser)), task.utterances)
            report(told)

        # a training that diverged has said so in its last report
        with contextlib.suppress(DivergedError):
            network = finetune_together(
                config,
                shared,
                tell,
                resources,
                journal=journal,
            )
            if task.models:
                _keep_if_best(network, task.model, task.models, trial, journal.reports[-1][objective])

    return train


def _keep_if_best(network: Any, model: SpeechModel, place: str, trial: str, loss: float) -> None:
    if is_url(place):
        keep_beside(lambda: push_if_best(network, model, place, trial, loss), place)
    else:
        keep_beside(lambda: save_if_best(network, model, Path(place), trial, loss), place)


def run_on_workers(
    function: Callable[..., Any],
    calls: Sequence[tuple[Any, ...]],
    resources: TrialResources,
    failure: str,
    done: Callable[[int, Any, int], None] = lambda _call, _result, _count: None,
) -> list[Any]:
    """Call a function in Ray workers, each with a trial's resources, as many at a time as trials.

    Args:
        function: It is called once for each of `calls`.
        calls: Its arguments; object references are resolved.
        resources: What each call gets, and how many run at a time; of several processes, a call runs in the first, and
            may start the others.
        failure: What a message begins with.
        done: Told of each that is done: which it was, its result, and how many are done.

    Returns:
        The results, in the order of `calls`.

    Raises:
        SweepFailedError: A call failed, for example for want of memory.
    """
    wait_for_room(resources)  # tasks themselves wait in silence
    results: dict[int, Any] = {}
    with contextlib.ExitStack() as held:
        held.enter_context(sharing(resources))
        waiting, mailbox = list(enumerate(calls)), Mailbox()
        slots = [Slot(resources) for _ in range(min(resources.max_concurrent, len(calls)))]
        held.callback(lambda: close(slots))
        # they may come one after another, as others leave or nodes are started
        starting, running = {slot.ready: slot for slot in slots}, dict[Any, tuple[int, Slot]]()
        while len(results) < len(calls):
            ready, _rest = ray.wait([*starting, *running], timeout=_LOOK_EVERY_S)
            mailbox.read()
            if not ready:
                continue
            i, slot = running.pop(ready[0], None) or (None, starting.pop(ready[0]))
            try:
                result = ray.get(ready[0])
            except ray.exceptions.RayError as error:
                raise SweepFailedError(f"{failure}: {str(error).strip().splitlines()[-1]}") from error
            if waiting:
                following, call = waiting.pop(0)
                running[slot.call(function, call)] = following, slot
            else:
                slots.remove(slot)
                slot.close()
            if i is not None:
                results[i] = result
                done(i, result, len(results))
    return [results[i] for i in range(len(calls))]
