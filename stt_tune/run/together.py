"""Train one configuration in several processes of one trial, each with its own GPU.

Ray Train is not used: inside a Tune trial it takes half a minute to start (it has a controller and workers of its own,
where these take the trial's own placement), and a trial that Tune stops has no way to stop it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import ray
from ray.util.placement_group import get_current_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from stt_tune.errors import OtherFailedError, SweepFailedError
from stt_tune.run.cluster import TrialResources
from stt_tune.run.folder import RunFolder
from stt_tune.run.journal import Journal
from stt_tune.run.mailbox import tell_user
from stt_tune.run.visibility import Marker, check_seen
from stt_tune.speech.finetune import Report, finetune
from stt_tune.speech.limits import use_cores
from stt_tune.speech.memory import spare_modules
from stt_tune.speech.ranks import ALONE, Ranks, joined
from stt_tune.storage import is_url

_GRACE_S = 10  # how long a process has to end by itself once another one has failed


def finetune_together(
    configuration: Mapping[str, Any],
    shared: ray.ObjectRef[Any],
    report: Report,
    resources: TrialResources,
    *,
    journal: Journal | None = None,
) -> Any:
    """Fine-tune in as many processes as a trial has; as `finetune`, to rounding.

    Must be called in the first bundle of a placement that `resources` has made; the other processes run in its other
    bundles, and end with this one, however it ends.

    Args:
        configuration: Hyperparameters by name.
        shared: A task with `data`, `model` and `settings`.
        report: Called after each epoch, here.
        resources: What the trial gets.
        journal: Where the state after each epoch is kept, and training goes on from.

    Raises:
        SttTuneError: As `finetune`.
        SweepFailedError: Another process has failed, for the reason that it says.
    """
    journal = journal or Journal(None)
    if resources.workers == 1:
        return _train(configuration, shared, report, journal, ALONE)
    address = _find_address()
    call = (dict(configuration), [shared], address, journal.place, resources)
    with _Others(call, resources) as others:
        try:
            # all leave the group together: NCCL may wait for ever for those that are gone
            with joined(0, resources.workers, address) as ranks:
                return _train(configuration, shared, report, journal, ranks)
        except (OtherFailedError, RuntimeError) as error:  # the latter where a connection is lost
            if reason := others.find_reason():
                raise SweepFailedError(f"another process of this training has failed: {reason}") from error
            raise


def _train(
    configuration: Mapping[str, Any],
    shared: ray.ObjectRef[Any],
    report: Report,
    journal: Journal,
    ranks: Ranks,
) -> Any:
    task = ray.get(shared)
    spare_modules()
    return finetune(
        configuration,
        task.data,
        task.model,
        report,
        task.settings,
        checkpoints=journal.folder,
        on_checkpoint=journal.keep,
        tell=tell_user,
        ranks=ranks,
    )


def _train_other(
    index: int,
    configuration: dict[str, Any],
    shared: list[ray.ObjectRef[Any]],
    address: str,
    place: str | None,
    resources: TrialResources,
) -> None:
    if place and not is_url(place):
        # on a node that does not see what the first process sees, this one would begin at another epoch
        check_seen(Marker(RunFolder(Path(place).parents[1]).run, seen_by=()))
    use_cores(resources.cpus / resources.workers)
    # all begin from what the journal holds now: none of them takes a step before the last one has come
    journal = Journal(place)
    with contextlib.suppress(OtherFailedError), joined(index, resources.workers, address) as ranks:
        _train(configuration, shared[0], lambda _report: None, journal, ranks)


def _find_address() -> str:
    """A free port of this node, on which the processes find each other."""
    with socket.socket() as free:
        free.bind(("", 0))
        return f"{ray.util.get_node_ip_address()}:{free.getsockname()[1]}"


class _Others:
    """The other processes of a training, in the other bundles of this one's placement; they end with the block.

    Where one of them dies, the first process would wait for it inside a collective operation, which nothing but its
    own death ends.
    """

    def __init__(self, call: tuple[Any, ...], resources: TrialResources) -> None:
        options = {**resources.to_task_options(), "max_retries": 0}
        options.pop("label_selector", None)  # the placement has it
        room: Any = get_current_placement_group()
        self._tasks = [
            ray.remote(**options, scheduling_strategy=PlacementGroupSchedulingStrategy(room, index))(
                _train_other
            ).remote(index, *call)
            for index in range(1, resources.workers)
        ]
        self._is_over = threading.Event()

    def __enter__(self) -> _Others:
        """Begin to watch over them."""
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End them."""
        self.end()

    def end(self) -> None:
        """End those that have not ended."""
        self._is_over.set()
        for each in self._tasks:
            ray.cancel(each, force=True)

    def find_reason(self) -> str:
        """Why the first of them has failed; empty where none fails within some seconds."""
        waiting = list(self._tasks)
        end = time.monotonic() + _GRACE_S
        while waiting and time.monotonic() < end:
            ready, waiting = ray.wait(waiting, timeout=1)
            for each in ready:
                if reason := _find_failure(each):
                    return reason
        return ""

    def _watch(self) -> None:
        waiting = list(self._tasks)
        while waiting and not self._is_over.wait(1):
            ready, waiting = ray.wait(waiting, num_returns=len(waiting), timeout=0)
            reasons = [reason for each in ready if (reason := _find_failure(each))]
            if reasons and not self._is_over.wait(_GRACE_S):
                tell_user(f"a process that trains the same network has died: {reasons[0]}")
                os.kill(os.getpid(), signal.SIGKILL)


def _find_failure(task: ray.ObjectRef[None]) -> str:
    """The last line of what a task has failed with; empty where it has not."""
    try:
        ray.get(task)
    except ray.exceptions.RayError as error:
        return str(error).strip().splitlines()[-1]
    return ""
