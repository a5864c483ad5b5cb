r"""A sweep of real trainings on a cluster in which something is killed every few seconds.

    python -m tests.benchmarks.chaos --seeds 0 1 2 3 4

Four nodes, each with a GPU that is none, 20 trials of a tiny Whisper. Every few seconds, by the
seed, a worker, a node (another one joins in its place) or the driver (the sweep is resumed) is
killed. Then every trial must have ended, once, with the reports of a sweep that nobody disturbed.
Prints one line of JSON for each seed; the exit code is 1 if one of them has lost anything.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stt_tune.demo.corpus import CorpusSize, make_corpus
from stt_tune.results.trials import TrialTable
from stt_tune.run.faults import read_faults
from stt_tune.speech.model import load_model
from tests.processes import find_trials
from tests.ray_head import Head, running_head, start_node
from tests.run.survivor import run
from tests.speech.families import make_whisper

_NODES = 4
_PAUSE_S = (4.0, 12.0)
_KILLS = {"worker": 5, "node": 2, "driver": 2}
_LONGEST_S = 1800


def main() -> None:
    """Run the sweep undisturbed, then once for each seed."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    asked.add_argument("--trials", type=int, default=20)
    given = asked.parse_args()
    with tempfile.TemporaryDirectory(prefix="chaos-") as name:
        folder = Path(name)
        model = folder / "model"
        model.mkdir()
        make_whisper(load_model("tiny.en"))(model)
        data = make_corpus(CorpusSize(train=16, dev=8, test=8), seed=0, cache=folder / "cache")
        expected = _results(run(folder / "undisturbed", str(model), str(data), trials=given.trials))
        outcomes = [
            _disturb(folder / f"seed-{seed}", seed, model, data, given.trials, expected) for seed in given.seeds
        ]
    sys.exit(0 if all(each["is_whole"] for each in outcomes) else 1)


def _disturb(folder: Path, seed: int, model: Path, data: Path, trials: int, expected: list[Any]) -> dict[str, Any]:
    """Run the sweep on a cluster of its own, and kill what the seed says."""
    folder.mkdir()
    out, chance, kills = folder / "run", random.Random(seed), Counter[str]()
    begun = time.monotonic()
    with running_head(folder, takes_jobs=False, cpus=0) as head, _running_nodes(head, folder) as nodes:
        command = [sys.executable, "-m", "tests.run.survivor", out, model, data, trials, head.address]
        driver = _start(command, head, folder)
        while (code := _wait(driver, chance.uniform(*_PAUSE_S))) != 0 and time.monotonic() - begun < _LONGEST_S:
            if code is not None:
                driver = _start(command, head, folder)  # it was killed, or says why not in its log
                continue
            kind = chance.choices(list(_KILLS), list(_KILLS.values()))[0]
            kills[kind] += 1
            if kind == "driver":
                os.killpg(driver.pid, signal.SIGKILL)
            elif kind == "node":
                i = chance.randrange(_NODES)
                os.killpg(nodes[i].pid, signal.SIGKILL)
                nodes[i] = start_node(head, folder / f"node-{i}.log", gpus=1)
            else:
                running = [trial for node in nodes for trial in find_trials(node.pid)]
                if running:
                    os.kill(chance.choice(running), signal.SIGKILL)
        if driver.poll() is None:
            os.killpg(driver.pid, signal.SIGKILL)
    table = TrialTable.load(out / "trials.parquet")
    log = read_faults(out / "faults.jsonl")
    failed = {each["trial"] for each in log if each["outcome"] == "failed"}
    outcome = {
        "seed": seed,
        "seconds": round(time.monotonic() - begun),
        "kills": dict(kills),
        "statuses": dict(table.counts()),
        "retries": sum(each.get("outcome") == "retried" for each in log),
        "failed": [each for each in log if each.get("trial") in failed],
        "is_whole": _results(table) == expected,
    }
    print(json.dumps(outcome), flush=True)
    return outcome


def _results(table: TrialTable) -> list[Any]:
    """What the trials gave, without what a clock says of it."""
    return [
        (trial.number, trial.configuration, trial.status, [{**report, "seconds": 0} for report in trial.reports])
        for trial in table.trials
    ]


def _start(command: list[Any], head: Head, folder: Path) -> subprocess.Popen[bytes]:
    with (folder / "driver.log").open("ab") as log:
        return subprocess.Popen(
            [str(each) for each in command], env=head.environment, stdout=log, stderr=log, start_new_session=True
        )


def _wait(process: subprocess.Popen[bytes], seconds: float) -> int | None:
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None


@contextmanager
def _running_nodes(head: Head, folder: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    nodes = [start_node(head, folder / f"node-{i}.log", gpus=1) for i in range(_NODES)]
    try:
        yield nodes
    finally:
        for node in nodes:
            os.killpg(node.pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
