"""Whether early stopping decides as well where early epochs are measured on a part of dev.

Replays sweeps on the recorded runs, the WER of each of which is off before its last epoch, all in the same
proportion, with a deviation of 5, 10 or 20 %.

python -m tests.benchmarks.early_dev tests/benchmarks/digits_a.jsonl.gz
"""

from __future__ import annotations

import argparse
import functools
import tempfile
from pathlib import Path
from typing import Any

from stt_tune.bench.recorded import read_runs
from stt_tune.bench.search import SearchBench, bench_search
from tests.benchmarks.unseen import be_off, write_changed

_AFTER = ("10", "20")


def _be_off_early(run: dict[str, Any], deviation: float) -> None:
    be_off(run, run["curve"][:-1], deviation)


def main() -> None:
    """Print the medians, a line a deviation."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", type=Path)
    parser.add_argument("--seeds", type=int, default=30)
    asked = parser.parse_args()
    runs = read_runs(asked.table)
    print("| off by | best WER by the default's after 10 / 20 trials | 4 at a time |")
    with tempfile.TemporaryDirectory() as folder:
        for deviation in (0.0, 0.05, 0.1, 0.2):
            path = Path(folder, f"{deviation}.jsonl")
            write_changed(runs, functools.partial(_be_off_early, deviation=deviation), path)
            found = []
            for parallel in (1, 4):
                bench = SearchBench(path, "bayes", "asha", trials=20, parallel=parallel, seeds=asked.seeds)
                best = bench_search(bench)["best_over_default"]
                found.append(" / ".join(f"{best[after]['median']:.3f}" for after in _AFTER))
            print(f"| {deviation:.0%} | {' | '.join(found)} |", flush=True)


if __name__ == "__main__":
    main()
