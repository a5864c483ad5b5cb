"""How a run stands, seen from outside: `stt-tune status`, while it runs or after. Only reads."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stt_tune.results.trials import INTERRUPTED, RUNNING
from stt_tune.run.folder import HAS_SEARCHED, SETTINGS, RunFolder
from stt_tune.run.opening import is_driven, opened_to_read
from stt_tune.run.spent import Spent
from stt_tune.run.standing import Standing
from stt_tune.run.verdict import describe_verdict

CONFIRMING, FAILED, FINISHED = "confirming", "failed", "finished"


@dataclass(frozen=True)
class RunStatus:
    """How a run stands.

    Attributes:
        location: The path or URL of its folder.
        sweep: Its name.
        started_at: When it began first, ISO 8601.
        state: `running`; `confirming` (its trials have ended, and it is measured on held-out speech); `interrupted`;
            `failed` (its trials have ended, and none was completed); `finished`.
        standing: Of its trials.
        verdict: What held-out speech says, in words; empty until then.
        next: What to do; empty while it runs.
    """

    location: str
    sweep: str
    started_at: str
    state: str
    standing: Standing
    verdict: Sequence[str]
    next: str

    def to_dict(self) -> dict[str, Any]:
        """For machines: `run`, `sweep`, `started_at`, `state`, `verdict`, `next`, and what `Standing.to_dict` gives."""
        return {
            "run": self.location,
            "sweep": self.sweep,
            "started_at": self.started_at,
            "state": self.state,
            "verdict": " ".join(self.verdict),
            "next": self.next,
            **self.standing.to_dict(),
        }

    def describe(self) -> list[str]:
        """In a few lines."""
        standing = self.standing
        return [
            f"Run:     {self.location} (sweep {self.sweep}, begun {self.started_at})",
            f"State:   {self.state}",
            f"Trials:  {standing.describe_trials()}",
            f"On dev:  {standing.describe_best()}",
            *(f"{'' if i else 'Verdict:':9}{line}" for i, line in enumerate(self.verdict)),
            # runs of 0.1.0 note their time where it is limited
            *([f"Time:    {standing.describe_time()}"] if standing.spent.seconds else []),
            *([f"Next:    {self.next}"] if self.next else []),
        ]


def read_status(run_dir: str | Path) -> RunStatus:
    """Say how a run stands, from what its folder holds; nothing is written there.

    Args:
        run_dir: The run folder, a path or a URL. That of a URL is as its driver sent it last, some seconds ago;
            whether the driver lives may take half a minute to find out.

    Raises:
        SettingsError: There is no run, or one of its files is damaged.
        StorageError: The URL cannot be read.
    """
    with opened_to_read(run_dir) as folder:
        return _judge(folder, is_driven=is_driven(folder, run_dir))


def _judge(folder: RunFolder, *, is_driven: bool) -> RunStatus:
    """Read the files of a run."""
    run, sweep = folder.read_run(), folder.read_sweep()
    settings = run.get(SETTINGS) or {}
    table = folder.read_table((sweep.metric.name,))
    standing = Standing(
        table,
        sweep.metric,
        sweep.count_trials(settings.get("trials")),
        Spent.read(folder.spent),
        settings.get("time_budget_s"),
        RUNNING if is_driven else INTERRUPTED,
    )
    state = _find_state(folder, run, standing, is_driven=is_driven)
    document = (folder.read_config() or {}) if state == FINISHED else {}
    verdict = describe_verdict(document) if document.get("held_out") else []
    begun, advice = str(run.get("started_at", "")), _advise(folder, run, state)
    return RunStatus(folder.location, sweep.name, begun, state, standing, verdict, advice)


def _find_state(folder: RunFolder, run: Mapping[str, Any], standing: Standing, *, is_driven: bool) -> str:
    if folder.optimal_config.exists():
        return FINISHED
    has_all = standing.done >= standing.num_trials
    has_ended = has_all or bool(run.get(HAS_SEARCHED))  # a limit ends it before
    if is_driven:
        return CONFIRMING if SETTINGS in run and has_ended else RUNNING
    is_own = SETTINGS not in run
    if not standing.done or not (has_ended if is_own else has_all):
        return INTERRUPTED
    if standing.best is None:
        return FAILED
    return FINISHED if is_own else INTERRUPTED  # `stt-tune tune` goes on after its trials, and confirms


def _advise(folder: RunFolder, run: Mapping[str, Any], state: str) -> str:
    """Say what to do with a run in that state."""
    if state in (RUNNING, CONFIRMING):
        return ""
    if state == FAILED:
        return (
            f"No trial was completed: see why in {folder.share(folder.errors)} and the column error of "
            f"{folder.share(folder.trials)}, mend it and begin a new run."
        )
    if state == FINISHED and SETTINGS in run and not folder.is_unconcluded:
        more = "refine" if run[SETTINGS].get("retunes") else "resume (with --trials), refine"  # a re-tune is decided
        return f"{folder.how_to_go_on()}. More: stt-tune {more} or confirm {shlex.quote(folder.location)}"
    return folder.how_to_go_on()
