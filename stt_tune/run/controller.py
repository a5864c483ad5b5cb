"""Ray Tune's loop, made to survive what it would end the sweep for, and to place trials by what has failed where."""

from __future__ import annotations

import contextlib
import errno
import functools
import re
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import ray
import ray.tune.tune
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.tune import PlacementGroupFactory
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial
from ray.util.placement_group import PlacementGroup, placement_group_table

from stt_tune.errors import StorageError
from stt_tune.run.faults import ERROR, LOSS, PREEMPTION, Faults

# What Ray adds on a worker that had not begun: its node went, or its process died as it started.
_NEVER_RAN = "The actor never ran"
_PROCESS_DIED = "its worker process has died"
# Ray goes on with guesses after what it knows of a worker that died.
_GUESSES = " Some common causes"
_FRAME = re.compile(r'\s+File "')  # of a traceback; what it names comes behind the last one, and may have several lines
# It ends what it says of a worker that the memory monitor killed with advice.
_OUT_OF_MEMORY = "due to the node running low on memory"
# What a machine says whose disk, mount or memory fails. Other errors of the system, such as a file that is missing, are
# the training's own: they would come again.
_MACHINE_FAILS = {
    errno.EDQUOT,
    errno.EHOSTDOWN,
    errno.EIO,
    errno.ENOMEM,
    errno.ENOSPC,
    errno.ENOTCONN,
    errno.EROFS,
    errno.ESTALE,
    errno.ETIMEDOUT,
}


class _Workers(RayActorManager):
    """Knows where each trial's worker is, and takes whatever of Ray's ends one for its death.

    Ray knows one kind of death, and gives the whole sweep up for all others: the memory monitor's
    (`OutOfMemoryError`), a full object store, a lost object.

    Attributes:
        nodes: Ids of the nodes on which workers were begun, also those that died before they ran.
    """

    def __init__(self, resource_manager: Any) -> None:
        super().__init__(resource_manager)
        self.nodes: dict[Any, str | None] = {}

    def _enqueue_cached_actor_tasks(self, tracked_actor: Any) -> None:
        """Take note of a worker that has been begun: this is the last that Ray does for that."""
        acquired: Any = self._live_actors_to_ray_actors_resources[tracked_actor][1]
        self.nodes[tracked_actor] = find_node(acquired.placement_group)
        super()._enqueue_cached_actor_tasks(tracked_actor)

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
        self._actor_manager = self._workers = _Workers(self._actor_manager._resource_manager)
        self._faults = faults
        self._place = place
        self._lost: Any = None
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

    def _actor_failed(self, tracked_actor: Any, exception: Exception) -> None:
        self._lost = tracked_actor
        super()._actor_failed(tracked_actor, exception)

    def _find_node(self, trial: Trial) -> str | None:
        """Where a trial runs, or has just been lost: Ray forgets its worker before it tells of that."""
        return self._workers.nodes.get(self._trial_to_actor.get(trial, self._lost))

    def _on_training_result(self, trial: Trial, result: Any) -> None:
        node = self._find_node(trial)
        super()._on_training_result(trial, result)  # type: ignore[no-untyped-call]
        for each in result if isinstance(result, list) else [result]:
            self._faults.heard(trial.trial_id, node, int(each.get("epoch", 0)))

    def _process_trial_failure(self, trial: Any, exception: Any) -> None:
        if exception is self._handled:
            return  # Ray tells twice of a worker that dies while it is made ready for its next trial
        self._handled = exception
        self._resetting_trials.discard(trial)
        is_retried = self._faults.is_retried(
            trial.trial_id,
            str(trial),
            self._find_node(trial),
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


def find_node(group: PlacementGroup) -> str | None:
    """The node on which a worker runs that has the first place of a group; None where that is not known."""
    return placement_group_table(group).get("bundles_to_node_id", {}).get(0) or None


def _find_kind(exception: Exception) -> str:
    if isinstance(exception, RayTaskError):
        cause = exception.cause
        of_machine = isinstance(cause, OSError) and cause.errno in _MACHINE_FAILS
        return LOSS if of_machine or isinstance(cause, StorageError | RayError) else ERROR
    if not isinstance(exception, RayActorError):
        return LOSS
    never_ran = _NEVER_RAN in str(exception) and _PROCESS_DIED not in str(exception)
    return PREEMPTION if exception.preempted or never_ran else LOSS


def describe_failure(error: BaseException | str) -> str:
    """Why an attempt at a trial failed, in one line: of a traceback the line that names the exception."""
    lines = [line for line in str(error).splitlines() if line.strip() and _NEVER_RAN not in line]
    frames = [number for number, line in enumerate(lines) if _FRAME.match(line)]
    behind = lines[frames[-1] + 1 :] if frames else []
    named = next((line for line in behind if not line[0].isspace()), lines[-1] if lines else "no reason given")
    told = next((line for line in lines if _OUT_OF_MEMORY in line), named)
    return told.strip().split(_GUESSES)[0]
