"""What the base model hears, before any training: what the system does today."""

from __future__ import annotations

from collections.abc import Sequence

import ray

from stt_tune.progress import say
from stt_tune.run.cluster import TrialResources
from stt_tune.run.speech_trial import SpeechTask, run_on_workers
from stt_tune.speech.decode import measure_untrained
from stt_tune.speech.example import Example
from stt_tune.speech.rates import UtteranceErrors

_LEAST = 8  # utterances that a worker is started for


def hear_untrained(
    task: SpeechTask, examples: Sequence[Example], resources: TrialResources, where: str
) -> list[UtteranceErrors]:
    """Measure the base model in Ray workers, at its full context; what is known of it already is not asked again.

    Must be called while connected to Ray.

    Args:
        task: Model and normaliser.
        examples: Each is measured by itself.
        resources: What each of the workers gets.
        where: The splits that they are from, in words.

    Returns:
        The errors of each example, in order.

    Raises:
        SweepFailedError: It could not be run, for example for want of memory.
    """
    known = {i: each.base for i, each in enumerate(examples) if each.base is not None}
    if unknown := [i for i in range(len(examples)) if i not in known]:
        say(f"finding out what the base model gets wrong: {len(unknown)} utterances of {where}")
        workers = min(resources.max_concurrent, max(len(unknown) // _LEAST, 1))
        shares = [unknown[i::workers] for i in range(workers)]
        model = ray.put(task.model)
        calls = [(model, [examples[i] for i in share], task.settings.normaliser) for share in shares]
        heard = run_on_workers(measure_untrained, calls, resources.of_one_worker(), "the base model could not be run")
        for share, errors in zip(shares, heard, strict=True):
            known.update(zip(share, errors, strict=True))
    return [known[i] for i in range(len(examples))]
