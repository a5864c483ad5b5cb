"""Find how many trials each GPU takes at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ray

from stt_tune.progress import say
from stt_tune.run.cluster import find_fitting, find_resources
from stt_tune.run.nodes import find_nodes
from stt_tune.run.speech_trial import SpeechTask
from stt_tune.speech.use import Use, measure_use
from stt_tune.sweep.config import SweepConfig


def find_trials_per_gpu(
    task: SpeechTask, sweep: SweepConfig, default: Mapping[str, Any], per_trial: Mapping[str, Any] | None = None
) -> int:
    """Measure a training on one of the connected cluster's GPUs that trials may run on.

    Args:
        task: What all trials share.
        sweep: What is searched; the largest batch of it is measured.
        default: What trials have that the sweep leaves open.
        per_trial: What each trial gets besides, such as a type of GPU; see `Asked`.

    Returns:
        How many trials a GPU takes; 1 where those that suit are yet to be started, 0 where trials use none.

    Raises:
        SettingsError: A trial asks for what there is not and will not be.
    """
    resources = find_resources(max_concurrent=None, per_trial=per_trial)
    fitting = find_fitting(resources) if resources.gpus else []
    nodes = [node for node in find_nodes() if node.id in fitting]
    if not nodes:
        return 1 if resources.gpus else 0
    searched = sweep.parameters.get("batch_size")
    batch_size = int(max(searched.extremes()) if searched else default["batch_size"])
    say("measuring how many trials a GPU takes at a time")
    measure = ray.remote(max_calls=1, **resources.to_task_options())(measure_use)
    # the longest, which take the most memory
    examples = sorted(task.data.train, key=task.model.find_length)[-2 * batch_size :]
    use: Use = ray.get(measure.remote(task.model, examples, batch_size, task.settings.audio_context_s))
    count = use.count(min(node.cpus / node.gpus for node in nodes))
    say(
        f"with batches of {batch_size}, a trial takes {100 * use.memory:.0f} % of a GPU's memory and keeps "
        f"{100 * use.time:.0f} % of it busy: {count} at a time on each"
    )
    return count
