"""Whether early stopping decides as well where early epochs are measured on a part of dev.

Replays sweeps on the recorded runs, the WER of each of which is off before its last epoch, all in the same
proportion, with a deviation of 5, 10 or 20 %.

python -m tests.benchmarks.early_dev tests/benchmarks/digits_a.jsonl.gz
"""

from __future__ import annotations

import argparse
import copy
import json
import tempfile
from pathlib import Path

import numpy as np

from stt_tune.bench.recorded import read_runs
from stt_tune.bench.search import SearchBench, bench_search

_AFTER = ("10", "20")


def write_off(table: Path, deviation: float, folder: Path) -> Path:
    """Write the recorded runs, off by so much before their last epochs."""
    runs = [copy.deepcopy(dict(run)) for run in read_runs(table)]
    for run in runs:
        factor = float(np.exp(np.random.default_rng(run["id"]).normal(scale=deviation)))
        for entry in run["curve"][:-1]:
            entry["dev_wer"] *= factor
    path = folder / f"{deviation}.jsonl"
    path.write_text("".join(json.dumps(run) + "\n" for run in runs))
    return path


def main() -> None:
    """Print the medians, a line a deviation."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", type=Path)
    parser.add_argument("--seeds", type=int, default=30)
    asked = parser.parse_args()
    print("| off by | best WER by the default's after 10 / 20 trials | 4 at a time |")
    with tempfile.TemporaryDirectory() as folder:
        for deviation in (0.0, 0.05, 0.1, 0.2):
            path = write_off(asked.table, deviation, Path(folder))
            found = []
            for parallel in (1, 4):
                bench = SearchBench(path, "bayes", "asha", trials=20, parallel=parallel, seeds=asked.seeds)
                best = bench_search(bench)["best_over_default"]
                found.append(" / ".join(f"{best[after]['median']:.3f}" for after in _AFTER))
            print(f"| {deviation:.0%} | {' | '.join(found)} |", flush=True)


if __name__ == "__main__":
    main()
