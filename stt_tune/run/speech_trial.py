"""The trial of a speech sweep: fine-tuning inside a Ray worker, for the search and to confirm."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray
from ray import tune

from stt_tune.errors import DivergedError, SweepFailedError
from stt_tune.results.utterances import save_utterances
from stt_tune.run.cluster import TrialResources
from stt_tune.run.reporting import report
from stt_tune.run.trainable import TrainFunction
from stt_tune.speech.decode import measure
from stt_tune.speech.example import SpeechData
from stt_tune.speech.families.base import SpeechModel
from stt_tune.speech.finetune import TrainingSettings, finetune
from stt_tune.speech.normalisers import describe_normaliser, load_normaliser
from stt_tune.speech.rates import UtteranceErrors
from stt_tune.speech.report import EpochReport
from stt_tune.speech.saved import save_if_best


@dataclass(frozen=True)
class SpeechTask:
    """What all trials of a speech sweep share.

    Attributes:
        data: The prepared splits.
        model: The weights to start from.
        settings: Seed, context, normaliser.
        utterances: Where trials leave what they heard, each in a file named by its id; None: nowhere.
        models: Where the best trial leaves its weights, in a folder named by its id; None: nowhere.
    """

    data: SpeechData
    model: SpeechModel
    settings: TrainingSettings
    utterances: Path | None = None
    models: Path | None = None


def build_train(task: SpeechTask, resources: TrialResources, objective: str) -> TrainFunction:
    """Make the training function of a speech sweep; workers share one copy of the task.

    Must be called while connected to Ray.

    Args:
        task: What all trials share.
        resources: What each of them gets.
        objective: The metric that they are compared by.
    """
    shared, cpus = ray.put(task), int(resources.cpus)

    def train(config: dict[str, Any]) -> None:
        _use_cores(cpus)
        task: SpeechTask = ray.get(shared)
        normaliser = describe_normaliser(task.settings.normaliser)
        # a training that diverged has said so in its last report
        with contextlib.suppress(DivergedError):
            last: dict[str, Any] = {}
            trial = tune.get_context().get_trial_id()

            def tell(each: EpochReport) -> None:
                last.clear()
                last.update(each.to_dict())
                if task.utterances and each.utterances:
                    save_utterances(task.utterances / f"{trial}.parquet", {trial: each.utterances}, normaliser)
                report(last)

            network = finetune(config, task.data, task.model, tell, task.settings)
            if task.models:
                save_if_best(network, task.model, task.models, trial, last[objective])

    return train


def _use_cores(cpus: int) -> None:
    import torch

    torch.set_num_threads(cpus)


def train_and_test(
    task: SpeechTask, configurations: list[dict[str, Any]], resources: TrialResources, seed: int
) -> list[list[UtteranceErrors] | None]:
    """Train each configuration anew with `seed` and measure it on the test split.

    The test split is measured at the model's full context, which is what production uses.

    Returns:
        The errors of each test utterance, for each configuration; None where training diverged.

    Raises:
        SweepFailedError: A training failed, for example for want of memory.
    """
    fresh = ray.put(replace(task, settings=replace(task.settings, seed=seed)))
    calls = [(configuration, fresh) for configuration in configurations]
    return run_on_workers(_train_and_test, calls, resources, "confirming failed while training anew")


def run_on_workers(
    function: Callable[..., Any], calls: Sequence[tuple[Any, ...]], resources: TrialResources, failure: str
) -> list[Any]:
    """Call a function in Ray workers, each with a trial's resources.

    Args:
        function: It is called once for each of `calls`.
        calls: Its arguments; object references are resolved.
        resources: What each call gets.
        failure: What a message begins with.

    Raises:
        SweepFailedError: A call failed, for example for want of memory.
    """
    cpus = int(resources.cpus)

    def on_cores(*arguments: Any) -> Any:
        _use_cores(cpus)
        return function(*arguments)

    remote = ray.remote(num_cpus=resources.cpus, num_gpus=resources.gpus, max_retries=1)(on_cores)
    try:
        results: list[Any] = ray.get([remote.remote(*call) for call in calls])
    except ray.exceptions.RayError as error:
        raise SweepFailedError(f"{failure}: {str(error).strip().splitlines()[-1]}") from error
    return results


def _train_and_test(configuration: dict[str, Any], task: SpeechTask) -> list[UtteranceErrors] | None:
    try:
        network = finetune(configuration, task.data, task.model, lambda _report: None, task.settings)
    except DivergedError:
        return None
    return measure(
        network,
        task.data.test,
        task.model,
        audio_context_s=task.model.max_context_s,
        normalise=load_normaliser(task.settings.normaliser),
    ).utterances
