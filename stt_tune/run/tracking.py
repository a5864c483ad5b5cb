"""Log every trial to W&B through Ray's own callback."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import ray
import wandb
from ray.air.integrations.wandb import WandbLoggerCallback, _QueueItem, _WandbLoggingActor
from ray.air.util.node import _force_on_current_node
from ray.tune.experiment import Trial

from stt_tune.progress import say
from stt_tune.run.wandb_function import OWN_RUN, STATUS, RunIdentity
from stt_tune.sweep.scheduler import FINAL_REPORT

_MODE = "WANDB_MODE"
# Ray's bookkeeping of its own loop, which means nothing to who reads the run.
_BOOKKEEPING = (
    "checkpoint_dir_name",
    "iterations_since_restore",
    "time_since_restore",
    "time_this_iter_s",
    "timestamp",
    "timesteps_since_restore",
    OWN_RUN,
    FINAL_REPORT,
)
_TAG_LENGTH = 64
# What the logging actor is told at the end; no metric is called so.
_END = "_stt_tune_status"


class _StatusActor(_WandbLoggingActor):
    """Ray's logging actor, which also writes the trial's final state into the run's summary."""

    def _handle_result(self, result: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        if _END in result:
            self._wandb.run.summary[STATUS] = result[_END]
            return {}, {}
        handled: tuple[dict[str, Any], dict[str, Any]] = super()._handle_result(result)
        return handled


class WandbTracker(WandbLoggerCallback):
    """Ray's callback; beyond it, the final state of each trial, however it ended, is recorded.

    A run is begun with the trial's first report, because only that tells whether the training
    function logs to W&B by itself; where it does, its run is the trial's, and nothing is done here.
    """

    _logger_actor_cls = _StatusActor

    def __init__(self, status_of: Callable[[str], str], **arguments: Any) -> None:
        """Set up the callback.

        Args:
            status_of: The final status of the trial with that id.
            arguments: As Ray's callback takes them.
        """
        super().__init__(**arguments)
        self._status_of = status_of
        self._ended: set[Trial] = set()
        self._own: set[Trial] = set()

    def setup(self, *args: Any, **kwargs: Any) -> None:
        """Find the key, which Ray demands unless the environment says that W&B is offline."""
        before = os.environ.get(_MODE)
        os.environ[_MODE] = self.kwargs["mode"]
        try:
            super().setup(*args, **kwargs)  # type: ignore[no-untyped-call]
        finally:
            if before is None:
                del os.environ[_MODE]
            else:
                os.environ[_MODE] = before

    def _start_logging_actor(self, trial: Trial, exclude_results: list[str], **arguments: Any) -> None:
        if not self._remote_logger_class:
            # As Ray makes it, without restarts (it prints an error line about them at every start)
            # and with the key only where it is used.
            key = os.environ.get("WANDB_API_KEY") if arguments["mode"] == "online" else None
            options: dict[str, Any] = {
                "num_cpus": 0,
                "runtime_env": {"env_vars": {"WANDB_API_KEY": key} if key else {}},
            }
            options |= cast("dict[str, Any]", _force_on_current_node())
            self._remote_logger_class: Any = ray.remote(**options)(self._logger_actor_cls)
        super()._start_logging_actor(trial, exclude_results, **arguments)

    def log_trial_start(self, trial: Trial) -> None:
        """Wait for the first report."""

    def log_trial_result(self, iteration: int, trial: Trial, result: dict[str, Any]) -> None:
        """Log the report, unless the training function has done so."""
        if result.get(OWN_RUN):
            self._own.add(trial)
            return
        self._begin(trial)
        super().log_trial_result(iteration, trial, result)

    def log_trial_end(self, trial: Trial, failed: bool = False) -> None:
        """Record the final state, then let the run finish."""
        # a function that fails before its first report may still have begun a run
        if trial in self._own or list(Path(self.kwargs["dir"], "wandb").glob(f"*run-*-{trial.trial_id}")):
            return
        self._begin(trial)
        self._end(trial)
        self._cleanup_logging_actors()

    def on_experiment_end(self, trials: list[Trial], **info: Any) -> None:
        """End the runs of interrupted trials, too; Ray would wait half an hour for them."""
        for trial in set(self._trial_queues) - self._ended:
            self._end(trial)
        super().on_experiment_end(trials, **info)

    def _begin(self, trial: Trial) -> None:
        if trial not in self._trial_logging_actors:
            super().log_trial_start(trial)

    def _end(self, trial: Trial) -> None:
        self._trial_queues[trial].put((_QueueItem.RESULT, {_END: self._status_of(trial.trial_id)}))
        self._signal_logging_actor_stop(trial=trial)
        self._ended.add(trial)


def build_trackers(identity: RunIdentity, status_of: Callable[[str], str]) -> list[WandbTracker]:
    """Make the W&B callback of a sweep, or none where W&B is disabled.

    Args:
        identity: What the runs are to be.
        status_of: The final status of the trial with that id.
    """
    if identity.mode == "disabled":
        return []
    return [
        WandbTracker(
            status_of,
            project=identity.project,
            group=identity.group,
            tags=list(identity.tags),
            entity=identity.entity,
            mode=identity.mode,
            excludes=list(_BOOKKEEPING),
            # relative, or missing, the runs would be lost in a temporary folder
            dir=identity.folder,
            settings={"silent": True, "console": "off", "x_disable_stats": True},
        )
    ]


def build_identity(
    mode: str, *, folder: Path, project: str, group: str, tags: Sequence[str], entity: str | None = None
) -> RunIdentity:
    """Say what the W&B runs of a sweep are to be.

    Args:
        mode: `offline`, `online` (which needs a key; without one the runs stay offline and can be
            synced later), or `disabled`.
        folder: The run folder; the runs land in its `wandb/`.
        project: W&B project.
        group: Groups the sweep's runs.
        tags: On every run; W&B takes 64 characters of each.
        entity: W&B entity; None: the user's own.
    """
    return RunIdentity(project, group, fit_tags(tags), find_mode(mode, folder), str(folder.absolute()), entity)


def find_mode(mode: str, folder: Path) -> str:
    """The W&B mode that can be had: online needs a key, and without one runs stay offline in `folder`."""
    if mode == "online" and not (os.environ.get("WANDB_API_KEY") or wandb.api.api_key):
        say(f"W&B: no key is configured, so runs are kept offline; later: wandb sync {folder / 'wandb'}/offline-run-*")
        return "offline"
    return mode


def fit_tags(tags: Sequence[str]) -> tuple[str, ...]:
    """The tags, each cut to the 64 last characters: W&B refuses longer ones."""
    return tuple(tag[-_TAG_LENGTH:] for tag in tags)
