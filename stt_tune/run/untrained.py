"""What the base model hears, before any training: what the system does today."""

from __future__ import annotations

from collections.abc import Sequence

from stt_tune.run.cluster import TrialResources
from stt_tune.run.speech_trial import SpeechTask, run_on_workers
from stt_tune.speech.decode import measure_untrained
from stt_tune.speech.example import Example
from stt_tune.speech.rates import UtteranceErrors


def hear_untrained(task: SpeechTask, examples: Sequence[Example], resources: TrialResources) -> list[UtteranceErrors]:
    """Measure the base model in a Ray worker, at its full context.

    Raises:
        SweepFailedError: It could not be run.
    """
    call = (task.model, examples, task.settings.normaliser)
    heard: list[UtteranceErrors]
    (heard,) = run_on_workers(measure_untrained, [call], resources.of_one_worker(), "the base model could not be run")
    return heard
