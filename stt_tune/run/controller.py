"""Ray Tune's loop, made to survive what it would end the sweep for, and to place trials by what has failed where."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import ray
import ray._private.state
import ray.tune.tune
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.tune import PlacementGroupFactory
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial

from stt_tune.run.faults import ERROR, LOSS, PREEMPTION, Faults

# What Ray says of a worker whose node went before it had begun.
_NEVER_RAN = "The actor never ran"
# Ray goes on with guesses after what it knows of a worker that died.
_GUESSES = " Some common causes"


class _Workers(RayActorManager):
    """Takes whatever of Ray's ends a trial's worker for the death of that worker.

    Ray knows one kind of it, and gives the whole sweep up for all others: the memory monitor's
    (`OutOfMemoryError`), a full object store, a lost object.
    """

    def _actor_task_failed(self, tracked_actor_task: Any, exception: Exception) -> None:
        if isinstance(exception, RayError) and not isinstance(exception, RayActorError | RayTaskError):
            exception = RayActorError(error_msg=f"{type(exception).__name__}: {describe_failure(exception)}")
        super()._actor_task_failed(tracked_actor_task, exception)


class FaultTolerantController(TuneController):
    """Asks `Faults` what becomes of a trial that failed, where Ray counts failures alike, whatever they are."""

    def __init__(
        self,
        faults: Faults,
        place: Callable[[Collection[str]], PlacementGroupFactory],
        at_a_time: int,
        **given: Any,
    ) -> None:
        """Set up the loop.

        Args:
            faults: Decides.
            place: Makes what a trial asks for, without the nodes given.
            at_a_time: How many trials may wait for their place at a time. With one, as Ray has it, a trial that
                has to wait for a certain node would hold up those that could run on the others.
            given: As Ray's controller takes it.
        """
        super().__init__(**given)
        self.update_max_pending_trials(at_a_time)
        # nothing has been asked of the one that it made
        self._actor_manager = _Workers(resource_manager=self._actor_manager._resource_manager)
        self._faults = faults
        self._place = place
        self._nodes: dict[str, str | None] = {}
        self._handled: Exception | None = None

    def save_to_dir(self) -> None:
        """Leave an empty snapshot, which Ray's last step looks for.

        Nothing in it is read; to write it takes 15 ms a trial, and all of its text stays in memory.
        """
        storage: Any = self._storage
        folder = Path(storage.experiment_driver_staging_path)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / self.experiment_state_file_name).write_text("{}", encoding="utf-8")

    def add_trial(self, trial: Any) -> None:
        """Queue a trial, for the nodes that are left; Ray reckons what it asks for in a copy of the trainable."""
        super().add_trial(trial)
        waiting = self._resources_to_pending_trials
        waiting[trial.placement_group_factory].discard(trial)
        trial.placement_group_factory = self._place(self._faults.excluded())
        waiting[trial.placement_group_factory].add(trial)

    def _maybe_reuse_cached_actor(self, trial: Trial) -> bool:
        """Give a worker that is free to a trial, but not to one whose own is starting.

        Ray would end that one, however far it is. Where trials are shorter than a start, few ever came up.
        """
        own = self._trial_to_actor.get(trial)
        if own is not None and own in self._actor_manager._live_actors_to_ray_actors_resources:
            return False
        return bool(super()._maybe_reuse_cached_actor(trial))

    def _actor_started(self, tracked_actor: Any, log: str = "STARTED") -> None:
        trial = self._actor_to_trial[tracked_actor]
        actor, _resources = self._actor_manager._live_actors_to_ray_actors_resources[tracked_actor]
        self._nodes[trial.trial_id] = find_node(actor._actor_id.hex())
        super()._actor_started(tracked_actor, log)

    def _on_training_result(self, trial: Trial, result: Any) -> None:
        super()._on_training_result(trial, result)  # type: ignore[no-untyped-call]
        for each in result if isinstance(result, list) else [result]:
            self._faults.heard(trial.trial_id, self._nodes.get(trial.trial_id), int(each.get("epoch", 0)))

    def _process_trial_failure(self, trial: Any, exception: Any) -> None:
        if exception is self._handled:
            return  # Ray tells twice of a worker that dies while it is made ready for its next trial
        self._handled = exception
        self._resetting_trials.discard(trial)
        node = self._nodes.pop(trial.trial_id, None)
        if node is None and isinstance(exception, RayActorError) and exception.actor_id:
            node = find_node(exception.actor_id)  # it died before it had begun
        is_retried = self._faults.is_retried(
            trial.trial_id,
            str(trial),
            node,
            describe_failure(exception),
            _find_kind(exception),
        )
        trial.max_failures = -1 if is_retried else 0
        if is_retried:
            trial.placement_group_factory = self._place(self._faults.excluded(trial.trial_id))
        super()._process_trial_failure(trial, exception)


@contextlib.contextmanager
def fault_tolerant(
    faults: Faults, place: Callable[[Collection[str]], PlacementGroupFactory], at_a_time: int
) -> Iterator[None]:
    """Let Tune run its trials by `FaultTolerantController` inside the block; it has no setting for that."""
    tune: Any = ray.tune.tune
    before = tune.TuneController
    tune.TuneController = functools.partial(FaultTolerantController, faults, place, at_a_time)
    try:
        yield
    finally:
        tune.TuneController = before


def find_node(actor_id: str) -> str | None:
    """The node on which an actor runs, or ran; None where that is not known.

    Args:
        actor_id: In hexadecimal digits.
    """
    return ray._private.state.actors(actor_id).get("Address", {}).get("NodeID") or None


def _find_kind(exception: Exception) -> str:
    if isinstance(exception, RayTaskError):
        return LOSS if isinstance(exception.cause, OSError | RayError) else ERROR
    is_preempted = isinstance(exception, RayActorError) and (exception.preempted or _NEVER_RAN in str(exception))
    return PREEMPTION if is_preempted else LOSS


def describe_failure(error: BaseException | str) -> str:
    """Why an attempt at a trial failed, in one line: of a traceback the line that names the exception."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].split(_GUESSES)[0] if lines else "no reason given"
