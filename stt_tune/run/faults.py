"""What becomes of a trial whose worker failed, and of a node that fails whatever it is given."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stt_tune.progress import say

ERROR, LOSS, PREEMPTION = "error", "loss", "preemption"

MOST_LOSSES = 8
"""A trial that was lost so often in a row, with no epoch finished between, has failed.

Where machines go and come, one trial is met several times before it has finished an epoch; a trial that itself ends its
workers costs so many starts.
"""

MOST_LOSSES_THERE = 2
"""A trial that was lost so often on one node, with no epoch finished between, is given to another if there is one."""

MOST_FAILURES = 3
"""A node on which so many trials failed in a row, with no epoch finished between, is set aside."""


class Faults:
    """Decides about retries and nodes, and keeps a log of both.

    A *loss* is no fault of the trial's configuration: its process or node died, memory of the machine
    ran out, or a disk could not be written. It is begun again, from its last checkpoint. So it is after
    a *preemption*, which counts for nothing: its node was taken back, or went before the trial had begun.
    A trial that is lost again goes to another node: others may do well on the one that has too little memory for it.
    An *error* was raised by the training itself and would come again on the same machine; it is tried once
    more, on another node, if there is one, so that a node that is broken costs no trial.
    """

    def __init__(self, path: Path, find_nodes: Callable[[], Collection[str]]) -> None:
        """Set up the decisions of one start of a sweep.

        Args:
            path: The log, one JSON object a line; appended to.
            find_nodes: Ids of the nodes that a trial could run on now.
        """
        self._path = path
        self._find_nodes = find_nodes
        self._epochs: dict[str, int] = {}
        self._lost_on: defaultdict[str, list[str | None]] = defaultdict(list)
        self._failures: Counter[str] = Counter()
        self._failed_on: dict[str, set[str]] = {}
        self._aside: set[str] = set()

    def heard(self, trial_id: str, node: str | None, epoch: int) -> None:
        """Take note that a trial has reported an epoch; one that was told before counts for nothing."""
        if epoch <= self._epochs.get(trial_id, 0):
            return
        self._epochs[trial_id] = epoch
        self._lost_on[trial_id].clear()
        if node:
            self._failures[node] = 0

    def is_retried(self, trial_id: str, name: str, node: str | None, reason: str, kind: str) -> bool:
        """Take note that an attempt at a trial has failed, and decide whether there is another.

        Args:
            trial_id: Whose.
            name: What the trial is called.
            node: Where it ran, if that is known.
            reason: Why, in one line.
            kind: `ERROR`, `LOSS` or `PREEMPTION`.
        """
        if kind == LOSS:
            self._lost_on[trial_id].append(node)
        if node and kind != PREEMPTION:
            self._failures[node] += 1
            self._judge(node)
        if node and kind == ERROR:
            self._failed_on.setdefault(trial_id, set()).add(node)
        is_retried = len(self._lost_on[trial_id]) < MOST_LOSSES
        if kind == ERROR:
            failed_on = self._failed_on.get(trial_id, set())
            is_retried = len(failed_on) == 1 and not set(self._find_nodes()) <= self._aside | failed_on
        if is_retried:
            say(f"{name}: {reason}; it is begun again{' on another node' if kind == ERROR else ''}")
        self._log(trial=name, node=node, reason=reason, outcome="retried" if is_retried else "failed")
        return is_retried

    def excluded(self, trial_id: str = "") -> set[str]:
        """Nodes that a trial is not to be given to: those set aside, and those where it has failed.

        Nodes that are left alone are better than none.
        """
        nodes = set(self._find_nodes())
        lost_on = Counter(node for node in self._lost_on[trial_id] if node)
        own = {node for node, times in lost_on.items() if times >= MOST_LOSSES_THERE}
        own |= self._failed_on.get(trial_id, set())
        for unwanted in (self._aside | own, self._aside):
            if nodes - unwanted:
                return unwanted
        return set()

    def _judge(self, node: str) -> None:
        """Set a node aside that fails all it is given, unless it is the last one."""
        is_last = set(self._find_nodes()) <= self._aside | {node}
        if self._failures[node] < MOST_FAILURES or node in self._aside or is_last:
            return
        self._aside.add(node)
        say(f"node {node[:12]}: {MOST_FAILURES} trials in a row failed there; it gets no more of this sweep")
        self._log(node=node, reason=f"{MOST_FAILURES} failures in a row", outcome="set aside")

    def _log(self, **entry: Any) -> None:
        line = json.dumps({"at": datetime.now(UTC).isoformat(timespec="seconds"), **entry})
        try:
            with self._path.open("a", encoding="utf-8") as log:
                log.write(f"{line}\n")
        except OSError:
            say(f"{self._path}: cannot be written; {line}")


def read_faults(path: Path) -> list[dict[str, Any]]:
    """Read the log of faults; a last line that was cut by one of them is left out."""
    entries = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            entries.append(dict(json.loads(line)))
        except ValueError:
            continue
    return entries
