"""Train configurations anew with fresh seeds, each at most once, and measure them beside the base model.

What they gave is kept in the run folder.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import ray

from stt_tune.errors import DivergedError, SweepFailedError
from stt_tune.files import write_json
from stt_tune.progress import say
from stt_tune.run.cluster import TrialResources
from stt_tune.run.journal import Journal, forget_journals
from stt_tune.run.speech_trial import SpeechTask, run_on_workers
from stt_tune.run.spent import describe_roughly
from stt_tune.run.together import finetune_together
from stt_tune.speech.decode import measure_at_full_context, measure_untrained
from stt_tune.speech.rates import UtteranceErrors


@dataclass(frozen=True)
class Training:
    """One training of one configuration, and what it heard at the model's full context.

    Attributes:
        test: The errors of each test utterance; empty where training diverged.
        guard: The same of what the system has to go on getting right.
        training_s: What training took, in seconds.
        diverged: Whether a loss became NaN or infinite.
    """

    test: list[UtteranceErrors]
    guard: list[UtteranceErrors]
    training_s: float
    diverged: bool = False

    def to_dict(self) -> dict[str, Any]:
        """As it is kept."""
        return asdict(self)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Training:
        """Read what `to_dict` gave."""
        heard = {name: [UtteranceErrors(**each) for each in document[name]] for name in ("test", "guard")}
        return cls(training_s=document["training_s"], diverged=document["diverged"], **heard)


def train_anew(
    task: SpeechTask,
    configurations: Sequence[Mapping[str, Any] | None],
    seeds: Sequence[int],
    resources: TrialResources,
    store: Path,
    data: str,
) -> list[list[Training]]:
    """Train each configuration with each seed, and measure it on the test split and the guard.

    Both are measured at the model's full context, which is what production uses.

    Args:
        task: What is trained on what.
        configurations: Hyperparameters; None: the base model as it is, which is measured once.
        seeds: None of them was used before.
        resources: What each training gets.
        store: A folder; trainings that lie there are not done again.
        data: Stands for the data in the names of its files.

    Returns:
        For each configuration its trainings, in the order of the seeds; of the base model, one.

    Raises:
        SweepFailedError: A training failed, for example for want of memory.
        OSError: The store cannot be written.
    """
    seeds_of = [seeds[:1] if configuration is None else seeds for configuration in configurations]
    pairs = [(each, seed) for each, its_seeds in zip(configurations, seeds_of, strict=True) for seed in its_seeds]
    paths = [store / f"{_name(configuration, seed, data)}.json" for configuration, seed in pairs]
    todo = [i for i, path in enumerate(paths) if _load(path) is None]
    if todo:
        again = f", {len(pairs) - len(todo)} more are there already" if len(todo) < len(pairs) else ""
        trainings = sum(pairs[i][0] is not None for i in todo)
        base = ", and the base model as it is" if trainings < len(todo) else ""
        say(f"confirming: {trainings} trainings anew with other seeds{base}{again}")
        # nobody asks for its dev WER, and one utterance shows as well whether training diverges
        task = replace(task, data=replace(task.data, dev=task.data.dev[:1]))
        tasks = {seed: ray.put(replace(task, settings=replace(task.settings, seed=seed))) for seed in seeds}

        begun = time.monotonic()

        def keep(i: int, training: Training, done: int) -> None:
            write_json(paths[todo[i]], training.to_dict())
            if task.checkpoints:
                forget_journals(task.checkpoints, [paths[todo[i]].stem])
            left = (time.monotonic() - begun) / done * (len(todo) - done)
            hint = f", about {describe_roughly(left)} left" if left else ""
            say(f"confirming: {done} of {len(todo)} done{hint}")

        calls = [(pairs[i][0], [tasks[pairs[i][1]]], resources, paths[i].stem) for i in todo]
        run_on_workers(_train_and_measure, calls, resources, "confirming failed while training anew", keep)
    found = [_load(path) for path in paths]
    if not all(found):
        raise SweepFailedError(f"{store}: what trainings gave was written there, and cannot be read any more.")
    results = iter([each for each in found if each])
    return [[next(results) for _seed in its_seeds] for its_seeds in seeds_of]


def _train_and_measure(
    configuration: Mapping[str, Any] | None,
    shared: list[ray.ObjectRef[SpeechTask]],
    resources: TrialResources,
    name: str,
) -> Training:
    task = ray.get(shared[0])
    start = time.monotonic()
    if configuration is None:
        test, guard = (
            measure_untrained(task.model, examples, task.settings.normaliser)
            for examples in (task.data.test, task.data.guard)
        )
        return Training(test, guard, 0.0)
    journal = Journal(f"{task.checkpoints}/{name}" if task.checkpoints else None)
    try:
        network = finetune_together(configuration, shared[0], lambda _report: None, resources, journal=journal)
    except DivergedError:
        return Training([], [], time.monotonic() - start, diverged=True)
    seconds = time.monotonic() - start
    test, guard = (
        measure_at_full_context(network, examples, task.model, task.settings.normaliser)
        for examples in (task.data.test, task.data.guard)
    )
    return Training(test, guard, seconds)


def _name(configuration: Mapping[str, Any] | None, seed: int, data: str) -> str:
    known = configuration and dict(configuration)
    return hashlib.sha256(json.dumps([known, seed, data], sort_keys=True).encode()).hexdigest()[:16]


def _load(path: Path) -> Training | None:
    try:
        return Training.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return None  # not done yet, or damaged: it is done again
