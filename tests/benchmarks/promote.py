"""What the paper's own form of ASHA would find: pause at the rung, and promote the best later.

The tool stops a weak trial for good. Here a trial pauses at every rung; a free worker promotes the
best paused one that is among the best one in eta of its rung, and begins a new trial only where there
is none. Rungs, searcher, model of recorded runs and clock are those of `stt-tune bench search`.

python tests/benchmarks/promote.py tests/benchmarks/digits_a.jsonl.gz
"""

from __future__ import annotations

import argparse
import heapq
import statistics
from collections.abc import Iterator
from pathlib import Path

from stt_tune.bench.recorded import Surrogate, read_runs
from stt_tune.bench.replay import replay_sweep
from stt_tune.bench.search import SPACE
from stt_tune.progress import track
from stt_tune.results.trials import COMPLETED, INTERRUPTED, STOPPED_EARLY, Trial, TrialTable
from stt_tune.run.trials import observe
from stt_tune.sweep.config import SweepConfig
from stt_tune.sweep.nesting import flatten
from stt_tune.sweep.observation import report_at
from stt_tune.sweep.samplers import build_sampler
from stt_tune.sweep.searcher import SweepSearcher

_METRIC = "wer"


class _Promoted:
    """A sweep that pauses and promotes.

    Source: Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning", algorithm 2.
    """

    def __init__(self, surrogate: Surrogate, seed: int, epochs: int) -> None:
        default = surrogate.default
        self._sweep = SweepConfig.from_dict(SPACE)
        self._surrogate = surrogate
        self._table = TrialTable((_METRIC,))
        self._searcher = SweepSearcher(
            self._sweep,
            build_sampler(self._sweep, seed, default),
            dict.fromkeys(range(1000)),
            observe=lambda: observe(self._sweep, self._table, running=self._searcher.numbers.values()),
            default=default,
            complete=lambda drawn: {**default, **drawn},
        )
        early_terminate = self._sweep.early_terminate
        assert early_terminate is not None
        self._eta = early_terminate.eta
        longest = max(self._sweep.parameters["epochs"].extremes())
        self._shares = [*(band / longest for band in early_terminate.bands if band < longest), 1.0]
        self._rungs: list[dict[str, float]] = [{} for _share in self._shares]
        self._promoted: list[set[str]] = [set() for _share in self._shares]
        self._left = epochs

    def run(self, parallel: int) -> TrialTable:
        """Spend the epochs."""
        running: list[tuple[int, str, int]] = []
        now = 0
        while True:
            while len(running) < parallel and (job := self._choose_job()) is not None:
                trial_id, rung = job
                trial = self._table.get(trial_id)
                trial.status = INTERRUPTED
                length = self._end_of(trial, rung) - len(trial.reports)
                self._left -= length
                heapq.heappush(running, (now + length, trial_id, rung))
            if not running:
                return self._table
            now, trial_id, rung = heapq.heappop(running)
            self._pause(self._table.get(trial_id), rung)

    def _end_of(self, trial: Trial, rung: int) -> int:
        return report_at(self._shares[rung], int(trial.configuration["epochs"]))

    def _choose_job(self) -> tuple[str, int] | None:
        if self._left <= 0:
            return None
        return next(self._promotable(), None) or self._begin()

    def _promotable(self) -> Iterator[tuple[str, int]]:
        for rung in reversed(range(len(self._shares) - 1)):
            ranked = sorted(self._rungs[rung], key=lambda each: self._rungs[rung][each])
            for trial_id in ranked[: int(len(ranked) / self._eta)]:
                if trial_id not in self._promoted[rung]:
                    self._promoted[rung].add(trial_id)
                    yield trial_id, rung + 1

    def _begin(self) -> tuple[str, int]:
        trial_id = f"{len(self._table.trials):05d}"
        configuration = self._searcher.suggest(trial_id)
        is_default = self._searcher.is_default(trial_id)
        self._table.add(Trial(trial_id, self._searcher.numbers[trial_id], is_default, flatten(configuration)))
        return trial_id, len(self._shares) - 1 if is_default else 0

    def _pause(self, trial: Trial, rung: int) -> None:
        curve = self._surrogate.curve(self._sweep.nest(trial.configuration))
        for epoch in range(len(trial.reports) + 1, self._end_of(trial, rung) + 1):
            trial.reports.append({"epoch": epoch, _METRIC: curve[epoch - 1]})
        # a short run meets several rungs after the same epoch; the default meets all of them at once
        for passed in range(rung + 1):
            best = min(trial.values(_METRIC)[: self._end_of(trial, passed)])
            self._rungs[passed].setdefault(trial.trial_id, best)
            if passed < rung:
                self._promoted[passed].add(trial.trial_id)
        trial.status = COMPLETED if rung == len(self._shares) - 1 else STOPPED_EARLY


def _find_best(table: TrialTable, statuses: tuple[str, ...] = (COMPLETED, STOPPED_EARLY)) -> float:
    best = min(trial.last(_METRIC) for trial in table.trials if trial.status in statuses)
    return best / table.trials[0].last(_METRIC)


def main() -> None:
    """Print both forms side by side, at the same number of epochs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", type=Path)
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--trials", type=int, nargs="+", default=[10, 20, 40], help="of the sweep that stops for good")
    parser.add_argument("--parallel", type=int, nargs="+", default=[1, 4])
    asked = parser.parse_args()
    surrogate = Surrogate(read_runs(asked.table))
    default = surrogate.default
    sweep = SweepConfig.from_dict(SPACE)
    print("best WER by the default's, medians; in brackets of trials run to their ends")
    for parallel in asked.parallel:
        for trials in asked.trials:
            rows = []
            for seed in track(range(asked.seeds), f"{trials} trials, {parallel} at a time", asked.seeds):
                stopped = replay_sweep(
                    sweep,
                    build_sampler(sweep, seed, default),
                    surrogate.curve,
                    default=default,
                    trials=trials,
                    scheduler="asha",
                    parallel=parallel,
                )
                epochs = sum(len(trial.reports) for trial in stopped.trials)
                promoted = _Promoted(surrogate, seed, epochs).run(parallel)
                spent = sum(len(trial.reports) for trial in promoted.trials)
                rows.append(
                    [
                        *(_find_best(stopped), _find_best(stopped, (COMPLETED,)), epochs),
                        *(_find_best(promoted), _find_best(promoted, (COMPLETED,)), spent, len(promoted.trials)),
                    ]
                )
            median = [statistics.median(column) for column in zip(*rows, strict=True)]
            print(
                "{} at a time, {} trials stopped for good: {:.3f} ({:.3f}), {:.0f} epochs; "
                "paused and promoted: {:.3f} ({:.3f}), {:.0f} epochs, {:.0f} trials".format(parallel, trials, *median)
            )


if __name__ == "__main__":
    main()
