"""Run a user's training function as a trial inside a Ray worker, whichever of three forms it has."""

from __future__ import annotations

import copy
import inspect
import os
import socket
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from pickle import PicklingError
from typing import Any

import ray
from ray import tune
from ray.train._internal.session import get_session

from stt_tune.errors import SettingsError, first_line
from stt_tune.run.reporting import Reporter, reporting_to
from stt_tune.run.visibility import Marker, check_seen
from stt_tune.run.wandb_function import RunIdentity, WandbFunction
from stt_tune.run.watchdog import Watchdog
from stt_tune.sweep.metric import FINAL_REPORT

# As good as for ever: a worker that is not ready when its next trial comes would lose that one.
_CLEANUP_S = 10**6
# what pickling raises: whatever its objects do, such as the RuntimeError of multiprocessing's locks
_UNPICKLABLE = (TypeError, AttributeError, ValueError, PicklingError, RuntimeError)
TrainFunction = Callable[..., Any]


@dataclass(frozen=True)
class TrainingTask:
    """What all trials of a sweep share.

    Attributes:
        train: The function that trains one configuration.
        metric: The objective.
        identity: What W&B runs are to be.
        folder: Where the function runs, if the worker's machine has it: paths are relative to it.
        timeout_s: How long a trial may go on without a report; None: for ever.
        marker: A file by which a worker's node knows that it sees the run folder; None: it need not.
    """

    train: TrainFunction
    metric: str
    identity: RunIdentity
    folder: str
    timeout_s: float | None = None
    marker: Marker | None = None


def takes_configuration(train: TrainFunction) -> bool:
    """Whether the function is given the configuration: its first parameter is required, or is called `config`.

    A W&B agent calls functions without arguments, and so do we where it can be.

    Raises:
        SettingsError: It needs more than one argument, or is no function.
    """
    try:
        parameters = inspect.signature(train).parameters.values()
    except (TypeError, ValueError) as error:
        raise SettingsError(f"the training function must be a function, found {train!r}.") from error
    positional = [each for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    required = [each for each in parameters if each.default is each.empty and each.kind not in variadic]
    if len(required) > 1 or (required and required[0] not in positional):
        names = ", ".join(each.name for each in required)
        raise SettingsError(
            f"the training function {_name(train)} must take the configuration alone, or nothing; found {names}. "
            "Bind the others with functools.partial."
        )
    return bool(required) or bool(positional and positional[0].name == "config")


def check_function(train: TrainFunction, swept: Collection[str]) -> None:
    """Refuse a training function that cannot be called, or would train the same in every trial.

    Args:
        train: It.
        swept: Names of the parameters that are searched.

    Raises:
        SettingsError: As `takes_configuration`; or it is called without arguments, and has parameters of these names,
            which would keep their defaults.
    """
    if takes_configuration(train):
        return
    kept = [name for name in inspect.signature(train).parameters if name in swept]
    if kept:
        raise SettingsError(
            f"the training function {_name(train)} must take the configuration as one argument, or read wandb.config; "
            f"found {', '.join(kept)} among its parameters, which would have the same value in every trial."
        )


def build_trainable(task: TrainingTask) -> Callable[[dict[str, Any]], None]:
    """Make the function that Tune runs for each trial; workers share one copy of the task.

    Raises:
        SettingsError: The training function cannot be sent to workers.
    """
    try:
        shared = ray.put(task)
    except _UNPICKLABLE as error:
        raise SettingsError(
            f"the training function {_name(task.train)} must be one that can be sent to another process, and is not "
            f"({first_line(error)}). Load models, locks and open files inside it."
        ) from error

    def trial(config: dict[str, Any]) -> None:
        _run_trial(config, ray.get(shared))

    trial.__mixins__ = (_UnhurriedEnd,)  # type: ignore[attr-defined]
    return trial


class _UnhurriedEnd:
    """Lets a function that Tune has stopped clean up, and end its W&B run, before its worker goes on or away.

    Tune puts this between its own trainable and the function.
    """

    def cleanup(self) -> None:
        """End the trial, and wait for its function."""
        session = get_session()
        super().cleanup()  # type: ignore[misc]
        if session and session.training_thread.is_alive():
            session.training_thread.join(timeout=_CLEANUP_S)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Make the worker ready for its next trial."""
        os.environ.setdefault("TUNE_FUNCTION_THREAD_TIMEOUT_S", str(_CLEANUP_S))
        return bool(super().reset_config(new_config))  # type: ignore[misc]


def _run_trial(config: dict[str, Any], task: TrainingTask) -> None:
    if task.marker:
        check_seen(task.marker)
    if Path(task.folder).is_dir():
        # Ray has moved to the trial's own folder; later it would move to the next trial's before this one has ended
        os.environ["RAY_CHDIR_TO_TRIAL_DIR"] = "0"
        os.chdir(task.folder)
    context = tune.get_context()
    watchdog = Watchdog(task.timeout_s)

    def send(metrics: dict[str, Any]) -> None:
        watchdog.calm()
        wandb_function.send(metrics, tune.report)
        watchdog.calm()  # it may have waited long for others

    reporter = Reporter(send, task.metric)
    wandb_function = WandbFunction(
        identity=task.identity,
        trial_id=context.get_trial_id(),
        name=context.get_trial_name(),
        configuration=config,
        facts=_find_facts(task),
        metric=task.metric,
        reporter=reporter,
    )
    with watchdog, reporting_to(reporter), wandb_function.followed():
        try:
            _train(task.train, config, reporter)
        except SystemExit as left:
            if wandb_function.is_stopped:
                raise
            if left.code:  # Ray takes a thread's exit for an end like any other
                raise RuntimeError(f"{_name(task.train)} has called sys.exit({left.code!r})") from left
        except Exception as error:
            _check_copied(error)
            raise
    if wandb_function.is_stopped:  # and went on; Tune would wait for ever for an ordinary end
        sys.exit(0)


def _train(train: TrainFunction, config: dict[str, Any], reporter: Reporter) -> None:
    """Call a training function, and report what it yields or returns."""
    outcome = train(config) if takes_configuration(train) else train()
    if isinstance(outcome, Iterator):
        yielded: Iterator[Mapping[str, Any]] = outcome
        for metrics in yielded:
            reporter.report(metrics, "yield")
    elif isinstance(outcome, Mapping):
        reporter.report({**outcome, FINAL_REPORT: True}, "return")
    elif outcome is not None:
        raise TypeError(f"{_name(train)} must return its metrics by name, or nothing; found {outcome!r}")


def _check_copied(error: Exception) -> None:
    """Put an ordinary error in the place of one that cannot be copied, as its class takes other arguments: Ray does.

    Raises:
        RuntimeError: It says the same.
    """
    try:
        copy.copy(error)
    except Exception:  # noqa: BLE001 - whatever its class raises
        said = RuntimeError(f"{type(error).__name__}: {error}")
        raise said.with_traceback(error.__traceback__) from None


def _find_facts(task: TrainingTask) -> dict[str, Any]:
    session: Any = get_session()
    return {
        "trial_id": session.trial_id,
        "trial_log_path": task.identity.folder,  # Ray's own is gone when the sweep is over
        "date": datetime.now(UTC).strftime("%Y-%m-%d_%H-%M-%S"),
        "hostname": socket.gethostname(),
        "node_ip": ray.util.get_node_ip_address(),
        "pid": os.getpid(),
    }


def _name(train: TrainFunction) -> str:
    return getattr(train, "__name__", repr(train))
