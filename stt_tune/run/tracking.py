"""Log every trial to W&B through Ray's own callback."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import wandb
from ray.air.integrations.wandb import WandbLoggerCallback
from ray.tune.experiment import Trial
from wandb.sdk.wandb_run import Run

from stt_tune.errors import first_line
from stt_tune.progress import say
from stt_tune.results.trials import FAILED
from stt_tune.run.unpickled import Unpickled
from stt_tune.run.wandb_function import MODE, OWN_RUN, STATUS, RunIdentity
from stt_tune.sweep.scheduler import FINAL_REPORT

# Ray's bookkeeping of its own loop, which means nothing to who reads the run.
_BOOKKEEPING = (
    "checkpoint_dir_name",
    "iterations_since_restore",
    "time_since_restore",
    "time_this_iter_s",
    "timestamp",
    "timesteps_since_restore",
    "config",
    "done",
    "should_checkpoint",
    OWN_RUN,
    FINAL_REPORT,
)
_TAG_LENGTH = 64
_QUIET_S = 2.0


class WandbTracker(Unpickled, WandbLoggerCallback):
    """Ray's callback, without its two actors a trial: a thread beside the sweep does the logging.

    Beyond Ray's, the final state of each trial, however it ended, is recorded; and a run that cannot
    be logged is told and holds nothing up.

    A run is begun with the trial's first report, because only that tells whether the training
    function logs to W&B by itself; where it does, its run is the trial's, and nothing is done here.
    """

    def __init__(self, status_of: Callable[[str], str], **arguments: Any) -> None:
        """Set up the callback.

        Args:
            status_of: The final status of the trial with that id.
            arguments: As Ray's callback takes them.
        """
        super().__init__(**arguments)
        self._status_of = status_of
        self._own: set[Trial] = set()
        self._begun: set[Trial] = set()
        self._lost: set[Trial] = set()
        self._runs: dict[Trial, Run] = {}
        self._epochs: dict[Trial, int] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="wandb")

    def setup(self, *args: Any, **kwargs: Any) -> None:
        """Nothing is left to be found: the project is given, and `find_mode` has seen to the key."""

    def _start_logging_actor(self, trial: Trial, exclude_results: list[str], **arguments: Any) -> None:
        self._do(trial, lambda: self._runs.update({trial: wandb.init(**arguments)}))

    def log_trial_start(self, trial: Trial) -> None:
        """Wait for the first report."""

    def log_trial_result(self, iteration: int, trial: Trial, result: dict[str, Any]) -> None:
        """Log the report, unless the training function has done so, or an earlier attempt at the trial."""
        if result.get(OWN_RUN):
            self._own.add(trial)
            return
        if result["epoch"] <= self._epochs.get(trial, 0):
            return
        self._epochs[trial] = result["epoch"]
        self._begin(trial)
        told = {name: value for name, value in result.items() if name not in _BOOKKEEPING}
        self._do(trial, lambda: self._log(trial, told))

    def log_trial_end(self, trial: Trial, failed: bool = False) -> None:
        """Record the final state, and end the run."""
        # a function that fails before its first report may still have begun a run
        is_own = trial in self._own or list(Path(self.kwargs["dir"], "wandb").glob(f"*run-*-{trial.trial_id}"))
        if is_own and trial not in self._begun:
            return
        self._begin(trial)
        self._end(trial)

    def on_experiment_end(self, trials: list[Trial], **info: Any) -> None:
        """End the runs of interrupted trials, too, and wait until everything is written or sent."""
        for trial in list(self._begun):
            self._end(trial)
        try:
            self._thread.submit(lambda: None).result(timeout=_QUIET_S)
        except TimeoutError:
            say("W&B: waiting until the last runs are logged")
        self._thread.shutdown()

    def _begin(self, trial: Trial) -> None:
        if trial not in self._begun:
            self._begun.add(trial)
            super().log_trial_start(trial)

    def _log(self, trial: Trial, told: dict[str, Any]) -> None:
        run = self._runs[trial]
        facts = {name: told.pop(name) for name in self.AUTO_CONFIG_KEYS if name in told}
        config: Any = run.config
        config.update({**facts, "trial_log_path": trial.path}, allow_val_change=True)
        run.log({name: value for name, value in told.items() if isinstance(value, int | float)})

    def _end(self, trial: Trial) -> None:
        self._begun.discard(trial)
        status = self._status_of(trial.trial_id)
        self._do(trial, lambda: self._finish(trial, status))

    def _finish(self, trial: Trial, status: str) -> None:
        run = self._runs.pop(trial)
        run.summary[STATUS] = status
        run.finish(exit_code=int(status == FAILED))

    def _do(self, trial: Trial, job: Callable[[], Any]) -> None:
        self._thread.submit(self._try, trial, job)

    def _try(self, trial: Trial, job: Callable[[], Any]) -> None:
        if trial in self._lost:
            return
        try:
            job()
        except Exception as error:  # noqa: BLE001 - whatever ails W&B must not end the sweep
            self._lost.add(trial)
            reason = first_line(error)
            say(f"W&B: {trial} is not logged any further ({reason}). The trial table has all of it.")


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
            # relative, or missing, the runs would be lost in a temporary folder
            dir=identity.folder,
            # several at a time, and beside a run that the caller may have
            reinit="create_new",
            settings={"silent": True, "console": "off", "x_disable_stats": True},
        )
    ]


def build_identity(
    mode: str, *, folder: Path, project: str, group: str, tags: Sequence[str], entity: str | None = None
) -> RunIdentity:
    """Say what the W&B runs of a sweep are to be.

    Args:
        mode: `offline`, `online` (which needs a key and W&B within reach; without them the runs stay
            offline and can be synced later), or `disabled`.
        folder: The run folder; the runs land in its `wandb/`.
        project: W&B project.
        group: Groups the sweep's runs.
        tags: On every run; W&B takes 64 characters of each.
        entity: W&B entity; None: the user's own.
    """
    return RunIdentity(project, group, fit_tags(tags), find_mode(mode, folder), str(folder.absolute()), entity)


def find_mode(mode: str, folder: Path) -> str:
    """The W&B mode that can be had: online needs to log in, and without that runs stay offline in `folder`."""
    if mode != "online":
        return mode
    reason = "no key is configured"
    before = os.environ.pop(MODE, None)  # W&B would not log in if the environment said offline
    try:
        if wandb.login(prompt=False):
            return mode
    except (wandb.Error, ValueError) as error:
        reason = first_line(error).rstrip(".")
    finally:
        if before is not None:
            os.environ[MODE] = before
    say(f"W&B: {reason}, so runs are kept offline; later: wandb sync {folder / 'wandb'}/offline-run-*")
    return "offline"


def fit_tags(tags: Sequence[str]) -> tuple[str, ...]:
    """The tags, each cut to the 64 last characters: W&B refuses longer ones."""
    return tuple(tag[-_TAG_LENGTH:] for tag in tags)
