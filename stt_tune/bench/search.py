"""How near a way of searching comes to the best, measured over many replayed sweeps."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stt_tune.bench.peers import PEERS, build_peer
from stt_tune.bench.recorded import DEFAULT_ID, Surrogate, read_runs
from stt_tune.bench.replay import replay_sweep
from stt_tune.errors import SettingsError
from stt_tune.progress import track
from stt_tune.results.trials import TrialTable
from stt_tune.run.refine import choose_best
from stt_tune.sweep.config import SweepConfig
from stt_tune.sweep.early_terminate import SCHEDULERS
from stt_tune.sweep.narrow import narrow_sweep
from stt_tune.sweep.samplers import build_sampler

OWN = ("bayes", "random")
METHODS = (*OWN, *PEERS)
_AFTER = (5, 10, 20)  # trials
_CLEARLY_BETTER = 0.95

SPACE: Mapping[str, Any] = {
    "name": "recorded",
    "method": "bayes",
    "metric": {"name": "wer", "goal": "minimize"},
    "parameters": {
        "learning_rate": {"distribution": "log_uniform_values", "min": 1e-6, "max": 1e-3},
        "batch_size": {"values": [4, 8, 16, 24, 32]},
        "epochs": {"distribution": "int_uniform", "min": 3, "max": 12},
        "warmup_steps": {"distribution": "int_uniform", "min": 0, "max": 200},
        "weight_decay": {"distribution": "uniform", "min": 0.0, "max": 0.3},
        "dropout": {"distribution": "uniform", "min": 0.0, "max": 0.3},
        "gradient_accumulation_steps": {"values": [1, 2, 4]},
    },
    "early_terminate": {"type": "hyperband", "min_iter": 1, "eta": 3},
}
"""From what the recorded runs were drawn."""


@dataclass(frozen=True)
class SearchBench:
    """What is measured.

    Attributes:
        table: A file of recorded runs.
        method: One of `METHODS`.
        scheduler: One of `SCHEDULERS`.
        trials: Trials of a sweep.
        refine: Trials of a Bayesian refinement after it.
        parallel: How many at a time.
        seeds: How many sweeps.
    """

    table: Path
    method: str = "bayes"
    scheduler: str = "none"
    trials: int = 20
    refine: int = 0
    parallel: int = 1
    seeds: int = 30

    def __post_init__(self) -> None:
        """Refuse what cannot hold, all of it at once."""
        problems = [
            f"--{name} must be {must}, found {value!r}."
            for name, value, must, holds in (
                ("method", self.method, f"one of {', '.join(METHODS)}", self.method in METHODS),
                ("scheduler", self.scheduler, f"one of {', '.join(SCHEDULERS)}", self.scheduler in SCHEDULERS),
                ("refine", self.refine, "at least 0", self.refine >= 0),
                *((name, getattr(self, name), "at least 1", getattr(self, name) >= 1) for name in _COUNTS),
            )
            if not holds
        ]
        if problems:
            raise SettingsError("\n".join(problems))


_COUNTS = ("trials", "parallel", "seeds")


def bench_search(bench: SearchBench) -> dict[str, Any]:
    """Replay the sweeps, and tell how they did.

    Returns:
        `best_over_default`: after 5, 10, 20 and all trials the best score so far by the default's,
        median and quartiles over the seeds; `epochs_fraction`: epochs spent by those of the same trials
        run to their ends, the median; `share_below_095`: seeds that end below 0.95 of the default;
        `runs`: every trial. A trial's score is its WER at the last epoch that it ran.

    Raises:
        SettingsError: The table cannot be read.
    """
    runs = read_runs(bench.table)
    surrogate = Surrogate(runs)
    default = next(run["config"] for run in runs if run["id"] == DEFAULT_ID)
    tables = [replay_once(bench, surrogate, default, seed) for seed in track(range(bench.seeds), "sweeps", bench.seeds)]
    return _summarise(tables, bench.trials + bench.refine)


def replay_once(bench: SearchBench, surrogate: Surrogate, default: Mapping[str, Any], seed: int) -> TrialTable:
    """One of the sweeps."""
    sweep = SweepConfig.from_dict({**SPACE, "method": bench.method if bench.method in OWN else "bayes"})
    own = build_sampler(sweep, seed, default)
    sampler = own if bench.method in OWN else build_peer(bench.method, sweep, seed)
    options: dict[str, Any] = {"default": default, "scheduler": bench.scheduler, "parallel": bench.parallel}
    table = replay_sweep(sweep, sampler, surrogate.curve, trials=bench.trials, **options)
    if bench.refine:
        refined = narrow_sweep(sweep, [sweep.nest(trial.configuration) for trial in choose_best(table, sweep.metric)])
        sampler = build_sampler(refined, seed, default)
        trials = bench.trials + bench.refine
        replay_sweep(refined, sampler, surrogate.curve, trials=trials, table=table, **options)
    return table


def _summarise(tables: Sequence[TrialTable], trials: int) -> dict[str, Any]:
    scores = np.array([[trial.last("wer") for trial in table.trials] for table in tables])
    relative = np.minimum.accumulate(scores, axis=1) / scores[:, :1]
    fractions = [_spent(table) for table in tables]
    return {
        "best_over_default": {
            str(after): dict(
                zip(
                    ("q25", "median", "q75"),
                    np.quantile(relative[:, after - 1], (0.25, 0.5, 0.75)).tolist(),
                    strict=True,
                )
            )
            for after in sorted({*(each for each in _AFTER if each <= trials), trials})
        },
        "epochs_fraction": statistics.median(fractions),
        "share_below_095": float((relative[:, -1] < _CLEARLY_BETTER).mean()),
        "runs": [
            {
                "seed": seed,
                "trials": [
                    {"config": trial.configuration, "epochs_run": len(trial.reports), "wer": trial.last("wer")}
                    for trial in table.trials
                ],
            }
            for seed, table in enumerate(tables)
        ],
    }


def _spent(table: TrialTable) -> float:
    spent = sum(len(trial.reports) for trial in table.trials)
    return spent / sum(int(trial.configuration["epochs"]) for trial in table.trials)
