r"""How much of a cluster a sweep keeps busy, and what it costs its driver.

    python -m tests.benchmarks.scaling --nodes 1 2 4 8 16 --seconds 10 --rounds 30
    python -m tests.benchmarks.scaling --nodes 1 --slots 16 --seconds 1 --trials 1000
    python -m tests.benchmarks.scaling --simulate --trials 10000 --slots 500

The first two run real sweeps on real Ray nodes of this machine, each with GPUs that are none, over a
training that sleeps; *efficiency* is the time that so many trials would take if nothing but they took
time, by the time that the sweep took, with all that it starts. `all_running_s` of it pass until each slot
has its worker, and those of all nodes start on the cores of this one machine. The last one replays a sweep through the
same searcher, scheduler and trial table with a clock that is made up, and counts what they decide in
a second. One line of JSON each.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ray
from ray.cluster_utils import Cluster

from stt_tune import report, run_sweep
from stt_tune.bench.replay import replay_sweep
from stt_tune.bench.search import SPACE
from stt_tune.sweep.config import SweepConfig
from stt_tune.sweep.samplers import build_sampler

_EPOCHS = 2
_DEFAULT = {
    "learning_rate": 1e-5, "batch_size": 16, "epochs": 5, "warmup_steps": 0, "weight_decay": 0.01, "dropout": 0.0,
    "gradient_accumulation_steps": 1,
}  # fmt: skip


def main() -> None:
    """Measure what is asked for."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--nodes", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    asked.add_argument("--seconds", type=float, default=10.0)
    asked.add_argument("--rounds", type=int, default=30, help="trials for each slot")
    asked.add_argument("--trials", type=int)
    asked.add_argument("--simulate", action="store_true")
    asked.add_argument("--slots", type=int, help="trials at a time: of each node, or in all where it is simulated")
    given = asked.parse_args()
    if given.simulate:
        print(json.dumps(_simulate(given.trials or 10_000, given.slots or 500)))
        return
    slots = given.slots or 1
    for count in given.nodes:
        trials = given.trials or count * slots * given.rounds
        print(json.dumps(_measure(count, slots, trials, given.seconds)), flush=True)


def _measure(nodes: int, slots: int, trials: int, seconds: float) -> dict[str, Any]:
    def sleep(config: dict[str, Any]) -> None:
        begun = time.time()
        for epoch in range(1, _EPOCHS + 1):
            time.sleep(seconds / _EPOCHS)
            report(epoch=epoch, wer=config["rate"] / epoch, begun=begun)

    sweep = {"method": "random", "metric": {"name": "wer"}, "parameters": {"rate": {"min": 0.0, "max": 1.0}}}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    for _node in range(nodes):
        cluster.add_node(num_cpus=slots, num_gpus=slots, object_store_memory=80_000_000)
    ray.init(address=cluster.address, log_to_driver=False)
    try:
        with tempfile.TemporaryDirectory() as folder:
            begun = time.time()
            result = run_sweep(sweep, sleep, num_trials=trials, storage_path=Path(folder, "run"), wandb_mode="disabled")
            took_s = time.time() - begun
    finally:
        ray.shutdown()
        cluster.shutdown()
    ideal_s = math.ceil(trials / (nodes * slots)) * seconds
    starts = sorted(trial.reports[0]["begun"] for trial in result.table.trials)
    return {
        "nodes": nodes,
        "slots": nodes * slots,
        "trials": trials,
        "seconds_a_trial": seconds,
        "completed": result.table.counts()["completed"],
        "took_s": round(took_s, 1),
        "all_running_s": round(starts[min(nodes * slots, trials) - 1] - begun, 1),
        "efficiency": round(ideal_s / took_s, 3),
        "driver_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def _simulate(trials: int, slots: int) -> dict[str, Any]:
    sweep = SweepConfig.from_dict({**SPACE, "method": "random"})

    def measure(configuration: Mapping[str, Any]) -> list[float]:
        reached = 0.1 + 0.05 * abs(math.log10(configuration["learning_rate"] / 6e-5)) + configuration["dropout"]
        return [reached + math.exp(-epoch) for epoch in range(1, int(configuration["epochs"]) + 1)]

    begun = time.process_time()
    table = replay_sweep(
        sweep, build_sampler(sweep, 0, _DEFAULT), measure, default=_DEFAULT, trials=trials, scheduler="asha",
        parallel=slots,
    )  # fmt: skip
    took_s = time.process_time() - begun
    reports = sum(len(trial.reports) for trial in table.trials)
    begun = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        table.save(Path(folder, "trials.parquet"))
    return {
        "trials": trials,
        "slots": slots,
        "statuses": dict(table.counts()),
        "decisions": reports + trials,
        "decisions_a_second": round((reports + trials) / took_s),
        "table_save_s": round(time.process_time() - begun, 2),
        "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


if __name__ == "__main__":
    main()
