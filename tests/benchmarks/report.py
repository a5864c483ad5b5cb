"""What the report costs: time, memory and size at 8, 200 and 1000 trials.

python -m tests.benchmarks.report
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.results.made_runs import make_run

_TRIALS = (8, 200, 1000)


def main() -> None:
    """Print a line for each number of trials; each is measured in a process of its own, from its start."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", nargs="?", type=Path, help="Measure this run folder; used for the processes.")
    given = parser.parse_args()
    if given.run:
        _measure(given.run)
        return
    with tempfile.TemporaryDirectory() as folder:
        for trials in _TRIALS:
            run = make_run(Path(folder, str(trials)), trials)
            subprocess.run([sys.executable, "-m", "tests.benchmarks.report", str(run.path)], check=True)


def _measure(run: Path) -> None:
    start = time.perf_counter()
    from stt_tune.run.report import write_report

    page = Path(write_report([run])[0])
    took = time.perf_counter() - start
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{run.name:>5} trials: {took:.1f} s, {megabytes:.0f} MB of memory, page of {page.stat().st_size / 1e6:.1f} MB"
    )


if __name__ == "__main__":
    main()
