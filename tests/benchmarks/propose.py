"""How long Bayesian search takes to propose a trial: after 50 and after 500, with 8 parameters.

python tests/benchmarks/propose.py
"""

from __future__ import annotations

import statistics
import time

from stt_tune.sweep.config import SweepConfig
from stt_tune.sweep.observation import Observation
from stt_tune.sweep.samplers import build_sampler

_SWEEP = {
    "method": "bayes",
    "metric": {"name": "wer"},
    "parameters": {
        "learning_rate": {"distribution": "log_uniform_values", "min": 1e-6, "max": 1e-3},
        "batch_size": {"values": [4, 8, 16, 32]},
        "epochs": {"min": 3, "max": 12},
        "lr_scheduler_type": {"values": ["linear", "cosine", "constant_with_warmup"]},
        **{name: {"min": 0.0, "max": 0.3} for name in ("warmup_ratio", "weight_decay", "dropout", "base_weight")},
    },
}
_REPEATS = 5


def main() -> None:
    """Print the median time of a proposal."""
    sweep = SweepConfig.from_dict(_SWEEP)
    drawn = build_sampler(SweepConfig.from_dict({**_SWEEP, "method": "random"}), 0)
    sampler = build_sampler(sweep, 0)
    for finished in (50, 500):
        known = []
        for number in range(finished):
            configuration = drawn.propose(number, ()) or {}
            value = 0.1 + configuration["dropout"] + abs(configuration["weight_decay"] - 0.1) + 0.01 * (number % 7)
            known.append(Observation(number, configuration, value))
        times = []
        for repeat in range(_REPEATS):
            start = time.perf_counter()
            sampler.propose(finished + repeat, known)
            times.append(time.perf_counter() - start)
        median, least, most = statistics.median(times), min(times), max(times)
        print(f"after {finished} trials: {median:.3f} s a proposal ({least:.3f} to {most:.3f})")


if __name__ == "__main__":
    main()
