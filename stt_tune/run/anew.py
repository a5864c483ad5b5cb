"""Train configurations anew with fresh seeds, and measure them and the base model, each at most once.

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
from stt_tune.run.untrained import hear_untrained
from stt_tune.speech.decode import measure_at_full_context
from stt_tune.speech.example import SpeechData
from stt_tune.speech.hyperparameters import Hyperparameters
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
    configurations: Sequence[Mapping[str, Any]],
    seeds: Sequence[int],
    resources: TrialResources,
    store: Path,
    data: str,
) -> list[list[Training]]:
    """Train each configuration with each seed, and measure it on the test split and the guard.

    Both are measured at the model's full context, which is what production uses.

    Args:
        task: What is trained on what.
        configurations: Hyperparameters.
        seeds: None of them was used before.
        resources: What each training gets.
        store: A folder; trainings that lie there are not done again.
        data: Stands for the data in the names of its files.

    Returns:
        For each configuration its trainings, in the order of the seeds.

    Raises:
        SweepFailedError: A training failed, for example for want of memory.
        OSError: The store cannot be written.
    """
    pairs = [(configuration, seed) for configuration in configurations for seed in seeds]
    paths = [_place(store, configuration, seed, data) for configuration, seed in pairs]
    todo = [i for i, path in enumerate(paths) if _load(path, task.data) is None]
    if todo:
        again = f", {len(pairs) - len(todo)} more are there already" if len(todo) < len(pairs) else ""
        say(f"confirming: {len(todo)} trainings anew with other seeds{again}")
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
    found = [_load(path, task.data) for path in paths]
    if not all(found):
        raise SweepFailedError(f"{store}: what trainings gave was written there, and cannot be read any more.")
    results = iter([each for each in found if each])
    return [[next(results) for _seed in seeds] for _configuration in configurations]


def measure_base(task: SpeechTask, resources: TrialResources, store: Path, data: str) -> Training:
    """Measure the base model on the test split and the guard, as if it were a training that took no time.

    Args:
        task: What has the model and the data.
        resources: What each worker gets that measures.
        store: A folder; what lies there is not measured again.
        data: Stands for the data in the name of its file.

    Raises:
        SweepFailedError: It could not be run, for example for want of memory.
        OSError: The store cannot be written.
    """
    path = _place(store, None, None, data)
    found = _load(path, task.data)
    if found is None:
        splits = [name for name in ("test", "guard") if getattr(task.data, name)]
        heard = hear_untrained(task, [*task.data.test, *task.data.guard], resources, " and ".join(splits))
        count = len(task.data.test)
        found = Training(heard[:count], heard[count:], 0.0)
        write_json(path, found.to_dict())
    return found


def _train_and_measure(
    configuration: Mapping[str, Any],
    shared: list[ray.ObjectRef[SpeechTask]],
    resources: TrialResources,
    name: str,
) -> Training:
    task = ray.get(shared[0])
    start = time.monotonic()
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


def _place(store: Path, configuration: Mapping[str, Any] | None, seed: int | None, data: str) -> Path:
    known = configuration and Hyperparameters.from_mapping(configuration).to_dict()
    name = hashlib.sha256(json.dumps([known, seed, data], sort_keys=True).encode()).hexdigest()[:16]
    return store / f"{name}.json"


def _load(path: Path, data: SpeechData) -> Training | None:
    """Read what is kept of a training; None where it is not done yet, is damaged, or was measured on other cases."""
    try:
        training = Training.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    # which cases are of one kind hangs on labels, and on what the base model hears, which devices round differently
    measured = [each.id for each in (*training.test, *training.guard)]
    is_of_these = measured == [each.id for each in (*data.test, *data.guard)]
    return training if training.diverged or is_of_these else None
