"""Compute once, for all trials, what an encoder that stays frozen makes of the data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import ray

from stt_tune.progress import say
from stt_tune.run.cluster import TrialResources
from stt_tune.run.speech_trial import SpeechTask, run_on_workers
from stt_tune.speech.frozen import compute_states, count_bytes, find_context, uses_states
from stt_tune.speech.hyperparameters import Hyperparameters
from stt_tune.sweep.config import SweepConfig

_SHARE = 0.3  # of a node's object store, which lies in its memory


def share_states(
    task: SpeechTask, sweep: SweepConfig, default: Mapping[str, Any], resources: TrialResources
) -> SpeechTask:
    """Give the task the encoder's outputs, where trials of the sweep leave it frozen and nodes have room for them.

    Must be called while connected to Ray.

    Raises:
        SweepFailedError: The encoder could not be run.
    """
    freeze = sweep.parameters.get("freeze")
    choices = [default, *({**default, "freeze": value} for value in (freeze.grid() if freeze else None) or ())]
    if not any(uses_states(Hyperparameters.from_mapping(each), task.model) for each in choices):
        return task
    context_s = task.settings.audio_context_s or find_context(task.model, task.data)
    needed = count_bytes(task.model, task.data, context_s)
    rooms = [node["Resources"].get("object_store_memory", 0) for node in ray.nodes() if node["Alive"]]
    if needed > _SHARE * min(rooms):
        say(f"the frozen encoder is run in every trial: what it makes of the data would take {needed / 1e9:.1f} GB")
        return task
    say("running the frozen encoder on all utterances, once for all trials")
    calls = [(task.model, task.data, context_s)]
    (data,) = run_on_workers(compute_states, calls, resources.of_one_worker(), "the encoder could not be run")
    return replace(task, data=data)
