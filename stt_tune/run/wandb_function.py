"""Let a W&B agent function run as it stands: its `wandb.init()` is the trial's run, its `wandb.log()` its reports."""

from __future__ import annotations

import contextlib
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import wandb
from ray.experimental import internal_kv
from wandb.sdk.wandb_run import Run

from stt_tune.results.trials import COMPLETED, DIVERGED, FAILED, INTERRUPTED
from stt_tune.run.mailbox import tell_user
from stt_tune.run.reporting import Reporter
from stt_tune.run.wandb_link import (
    FALLBACK,
    FINISH_TIMEOUT_S,
    INIT_TIMEOUT_S,
    MODE,
    begin_run,
    mark_continuing,
    mark_uploaded,
)
from stt_tune.sweep.metric import FINAL_REPORT
from stt_tune.sweep.nesting import flatten

STATUS = "status"  # in the summary of every trial's run: how it ended
OWN_RUN = "own_wandb_run"  # in a result: the function itself logs to W&B
_ENDS = b"stt_tune-ends"


@dataclass(frozen=True)
class RunIdentity:
    """What makes a W&B run one of the sweep's, whoever starts it.

    Attributes:
        project: W&B project.
        group: Groups the sweep's runs.
        tags: On every run.
        mode: `offline`, `online` or `disabled`.
        folder: The run folder; the runs land in its `wandb/`.
        entity: W&B entity; None: the user's own.
    """

    project: str
    group: str
    tags: tuple[str, ...]
    mode: str
    folder: str
    entity: str | None = None


@dataclass
class WandbFunction:
    """The W&B side of one trial whose function may log by itself.

    Attributes:
        identity: What all runs of the sweep share.
        trial_id: The run's id.
        name: The run's name.
        configuration: What the run's config holds, whatever the function passes or sets.
        metric: The objective: each `wandb.log` that holds it is one report.
        facts: What the run's config holds besides, as Ray's callback writes it: where the trial ran.
        reporter: Gets the reports.
        was_started: Whether the function has called `wandb.init`.
        is_stopped: Whether the trial was ended from outside, as it was weak or the sweep was to end.
    """

    identity: RunIdentity
    trial_id: str
    name: str
    configuration: Mapping[str, Any]
    facts: Mapping[str, Any]
    metric: str
    reporter: Reporter
    was_started: bool = False
    is_stopped: bool = False
    _last: float | None = None  # of the metric
    _logged: dict[str, Any] = field(default_factory=dict)
    _followed: Run | None = None

    @contextlib.contextmanager
    def followed(self) -> Iterator[None]:
        """Follow what the function does with W&B inside the block; a run that it leaves open is ended.

        A function that never logged the metric reports what it did log, so that its user can see.
        """
        init = wandb.init

        def init_as_trial(*args: Any, **kwargs: Any) -> Run:
            run = begin_run(partial(init, *args), {**kwargs, **self._identify(kwargs)}, _tell)
            if run is not self._followed and self.was_started and self.identity.mode != "disabled":
                mark_continuing(Path(run.dir).parent)
            self.was_started = True
            if run.offline:  # what continues a run must not reach W&B before its beginning does
                self.identity, self.trial_id = replace(self.identity, mode="offline"), run.id
            # as for W&B's own agent: what the sweep sets cannot be changed by the function
            config: Any = run.config
            config.update_locked(dict(self.configuration), user="sweep", _allow_val_change=True)
            config.update({name: value for name, value in self.facts.items() if name not in config})
            if run is not self._followed:  # W&B gives the same run again while it is open
                self._follow(run)
            return run

        wandb.init = init_as_trial
        os.environ[MODE] = self.identity.mode  # for `wandb.login()`, and for processes that the function starts
        # so that a trial goes on where W&B is gone; a function that sets its own has its reasons
        os.environ.setdefault("WANDB_INIT_TIMEOUT", str(INIT_TIMEOUT_S))
        os.environ.setdefault("WANDB_FINISH_TIMEOUT", str(FINISH_TIMEOUT_S))
        try:
            yield
            if self._logged and not self.reporter.epoch:
                self.reporter.report(self._logged, "wandb")
        except Exception:
            wandb.finish(exit_code=1)
            raise
        finally:
            wandb.finish()
            wandb.init = init

    def _identify(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "project": self.identity.project,
            "group": self.identity.group,
            "tags": [*self.identity.tags, *(asked.get("tags") or ())],
            "mode": self.identity.mode,
            "dir": self.identity.folder,
            "id": self.trial_id,
            "name": self.name,
            **({"entity": self.identity.entity} if self.identity.entity else {}),
            # a run that the function has finished and begins anew is still the trial's
            **({"resume": "allow"} if self.was_started else {}),
        }

    def send(self, metrics: dict[str, Any], report: Callable[[dict[str, Any]], None]) -> None:
        """Hand a report on, and notice when it tells the function to end."""
        if self.is_stopped:  # the function has caught the first telling
            sys.exit(0)
        self._last = metrics.get(self.metric, self._last)
        try:
            report({**metrics, OWN_RUN: self.was_started})
        except SystemExit:  # this is how Tune ends a function that it has stopped
            self.is_stopped = True
            raise

    def _follow(self, run: Any) -> None:
        """Listen to what the run is told. W&B has no hooks for this, so its methods are wrapped."""
        self._followed = run
        log, finish = run.log, run._finish

        def log_and_report(data: dict[str, Any], *args: Any, **kwargs: Any) -> None:
            log(data, *args, **kwargs)
            said = flatten(data)
            self._logged |= said
            if self.metric in said:
                logged, self._logged = self._logged, {}
                self.reporter.report(logged, "wandb")

        def finish_with_status(exit_code: int | None = None) -> None:
            if not exit_code and not self.reporter.epoch and run.summary.get(self.metric) is not None:
                # W&B takes a metric from the summary, too
                said = {self.metric: run.summary.get(self.metric), FINAL_REPORT: True}
                self.reporter.report(said, "wandb")
            # a stopped trial leaves the function by an exception, which is no failure
            run.summary[STATUS] = self._judge(exit_code)
            finish(0 if self.is_stopped else exit_code)
            if not run.offline:
                mark_uploaded(Path(run.dir).parent)

        run.log = wandb.log = log_and_report
        run._finish = finish_with_status

    def _judge(self, exit_code: int | None) -> str:
        """How the trial has ended, as the trial table will have it."""
        if self.is_stopped:
            return hear_end(self.trial_id.removesuffix(FALLBACK))
        if exit_code or (self.reporter.epoch and self._last is None):
            return FAILED
        return COMPLETED if self._last is None or math.isfinite(self._last) else DIVERGED


def tell_end(trial_id: str, status: str) -> None:
    """Leave word for the worker of a trial that is about to be stopped, which cannot know why."""
    internal_kv._internal_kv_put(trial_id, status, namespace=_ENDS)


def hear_end(trial_id: str) -> str:
    """The status of a trial that has been stopped; where no word was left, the sweep itself was ended."""
    status = internal_kv._internal_kv_get(trial_id, namespace=_ENDS)
    return status.decode() if status else INTERRUPTED


def _tell(reason: str) -> None:
    tell_user(f"W&B: it cannot be reached ({reason}); the run of a trial is kept offline.")
