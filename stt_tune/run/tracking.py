"""Log every trial to W&B through Ray's own callback."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import wandb
from ray.air.integrations.wandb import WandbLoggerCallback
from ray.tune.experiment import Trial
from wandb.sdk.wandb_run import Run

from stt_tune.errors import first_line
from stt_tune.progress import say
from stt_tune.results.trials import FAILED
from stt_tune.run.commands import command
from stt_tune.run.patience import insist
from stt_tune.run.unpickled import Unpickled
from stt_tune.run.wandb_function import OWN_RUN, STATUS, RunIdentity, tell_end
from stt_tune.run.wandb_link import (
    FINISH_TIMEOUT_S,
    INIT_TIMEOUT_S,
    begin_run,
    find_obstacle,
    mark_continuing,
    mark_uploaded,
)
from stt_tune.sweep.metric import FINAL_REPORT

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
# How long the end of a sweep waits for W&B: one run that begins, then one that ends, both at their longest.
_LAST_WAIT_S = INIT_TIMEOUT_S + FINISH_TIMEOUT_S + 1.0
# For so long after a failure, runs begin offline at once: each attempt to reach W&B costs its timeout.
_OFFLINE_S = 300.0


class WandbTracker(Unpickled, WandbLoggerCallback):
    """Ray's callback, without its two actors a trial: a thread beside the sweep does the logging.

    Beyond Ray's, the final state of each trial, however it ended, is recorded; and a run that cannot
    be logged is told and holds nothing up. The step of a row is its epoch: W&B keeps one row a step, so
    one that is sent twice, because a trial or an upload began anew, is there once.

    W&B writes a run's files online, too. Where it goes away half way, they are complete, and
    `stt-tune wandb-sync` uploads them.

    Source: of two rows with the same step the later one stays, https://github.com/wandb/wandb/pull/12668.

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
        self._earlier = self._find_folders()
        self._own: set[Trial] = set()
        self._begun: set[Trial] = set()
        self._lost: set[Trial] = set()
        self._runs: dict[Trial, Run] = {}
        self._epochs: dict[Trial, int] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="wandb")
        self._ending: list[threading.Thread] = []
        self._offline_until = 0.0
        self._is_told = False
        self._telling = threading.Lock()

    def setup(self, *args: Any, **kwargs: Any) -> None:
        """Nothing is left to be found: the project is given, and `find_mode` has seen to the key."""

    def _start_logging_actor(self, trial: Trial, exclude_results: list[str], **arguments: Any) -> None:
        if trial in self._epochs:
            self._do(trial, lambda: self._runs.update({trial: self._init(arguments)}))
        else:  # it tells nothing, and what an earlier start has told of it stays
            self._do(trial, lambda: self._runs.update({trial: self._init({**arguments, "resume": "allow"})}))
            self._do(trial, lambda: mark_continuing(Path(self._runs[trial].dir).parent))

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
        self._do(trial, lambda: self._log(trial, told, step=result["epoch"]))

    def log_trial_end(self, trial: Trial, failed: bool = False) -> None:
        """Record the final state, and end the run."""
        # a function that fails before its first report may still have begun a run
        is_own = trial in self._own or self._find_folders(trial.trial_id) - self._earlier
        if is_own and trial not in self._begun:
            tell_end(trial.trial_id, self._status_of(trial.trial_id))
            return
        self._begin(trial)
        self._end(trial)

    def on_experiment_end(self, trials: list[Trial], **info: Any) -> None:
        """End the runs of interrupted trials, too, and wait until everything is written or sent.

        Where W&B hangs, that takes half a minute at most.
        """
        for trial in list(self._begun):
            self._end(trial)
        last = self._thread.submit(lambda: None)
        if not self._wait(last, _QUIET_S):
            say("W&B: waiting until the last runs are logged")
            if not self._wait(last, _LAST_WAIT_S if self.kwargs["mode"] == "online" else threading.TIMEOUT_MAX):
                self._tell("it does not answer")
        self._thread.shutdown(wait=False)

    def _wait(self, last: Future[None], wait_s: float) -> bool:
        deadline = time.monotonic() + wait_s
        if wait([last], wait_s).not_done:
            return False
        for thread in self._ending:
            thread.join(max(deadline - time.monotonic(), 0.0))
        return not any(thread.is_alive() for thread in self._ending)

    def _init(self, arguments: dict[str, Any]) -> Run:
        # W&B would make it anew where storage is gone, and the run would lie below the place of the mount
        insist(Path(self.kwargs["dir"]).stat)
        if time.monotonic() < self._offline_until:
            arguments = {**arguments, "mode": "offline"}
        return begin_run(wandb.init, arguments, self._tell)

    def _find_folders(self, trial_id: str = "*") -> set[Path]:
        return set(Path(self.kwargs["dir"], "wandb").glob(f"*run-*-{trial_id}"))

    def _begin(self, trial: Trial) -> None:
        if trial not in self._begun:
            self._begun.add(trial)
            super().log_trial_start(trial)

    def _log(self, trial: Trial, told: dict[str, Any], step: int) -> None:
        run = self._runs[trial]
        facts = {name: told.pop(name) for name in self.AUTO_CONFIG_KEYS if name in told}
        config: Any = run.config
        config.update({**facts, "trial_log_path": self.kwargs["dir"]}, allow_val_change=True)
        run.log({name: value for name, value in told.items() if isinstance(value, int | float)}, step=step, commit=True)

    def _end(self, trial: Trial) -> None:
        self._begun.discard(trial)
        status = self._status_of(trial.trial_id)
        self._do(trial, lambda: self._finish(trial, status))

    def _finish(self, trial: Trial, status: str) -> None:
        run = self._runs.pop(trial)
        run.summary[STATUS] = status
        if run.offline:
            run.finish(exit_code=int(status == FAILED))
            return
        # W&B now sends what is left, for as long as it takes; meanwhile the other runs go on
        thread = threading.Thread(target=self._try, args=(trial, lambda: self._send_last(run, status)), daemon=True)
        self._ending.append(thread)
        thread.start()

    def _send_last(self, run: Run, status: str) -> None:
        run.finish(exit_code=int(status == FAILED))
        if not mark_uploaded(Path(run.dir).parent):
            self._tell(f"not all of {run.name} was taken")

    def _tell(self, reason: str) -> None:
        """Say once a sweep that W&B is missing something, and how it gets it."""
        self._offline_until = time.monotonic() + _OFFLINE_S
        with self._telling:
            is_told, self._is_told = self._is_told, True
        if not is_told:
            folder = Path(self.kwargs["dir"])
            say(
                f"W&B: it cannot be reached any more ({reason}). The sweep goes on, and all of every run is kept in "
                f"{folder / 'wandb'}; later, this uploads what is missing: {command('wandb-sync', folder)}"
            )

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
            settings={
                "silent": True,
                "console": "off",
                "x_disable_stats": True,
                "init_timeout": INIT_TIMEOUT_S,
                "finish_timeout": FINISH_TIMEOUT_S,
            },
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
    if mode != "online" or not (obstacle := find_obstacle()):
        return mode
    say(f"W&B: {obstacle}, so runs are kept offline; later: {command('wandb-sync', folder)}")
    return "offline"


def fit_tags(tags: Sequence[str]) -> tuple[str, ...]:
    """The tags, each cut to the 64 last characters: W&B refuses longer ones."""
    return tuple(tag[-_TAG_LENGTH:] for tag in tags)
