"""How near a way of searching comes to the best, measured over many replayed sweeps."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stt_tune.bench.peers import PEERS, build_peer
from stt_tune.bench.recorded import Surrogate, read_runs
from stt_tune.bench.replay import replay_sweep
from stt_tune.errors import SettingsError
from stt_tune.progress import track
from stt_tune.results.trials import TrialTable
from stt_tune.run.refine import choose_best
from stt_tune.sweep.around import build_sweep_around
from stt_tune.sweep.config import SweepConfig
from stt_tune.sweep.early_terminate import SCHEDULERS
from stt_tune.sweep.narrow import narrow_sweep
from stt_tune.sweep.samplers import build_sampler

OWN = ("bayes", "random")
METHODS = (*OWN, *PEERS)
_AFTER = (5, 10, 20)  # trials
_EARLIER_TRIALS = 20
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
        min_improvement: A sweep ends once its model expects less of the next trial, relative to the best.
        earlier: A file of runs recorded on earlier data: each sweep is a re-tune, as `stt-tune retune`
            does it, of the best configuration that a Bayesian sweep of 20 trials found there.
    """

    table: Path
    method: str = "bayes"
    scheduler: str = "none"
    trials: int = 20
    refine: int = 0
    parallel: int = 1
    seeds: int = 30
    min_improvement: float | None = None
    earlier: Path | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot hold, all of it at once."""
        is_bayes, least = self.method == "bayes", self.min_improvement
        problems = [
            f"--{name} must be {must}, found {value!r}."
            for name, value, must, holds in (
                ("method", self.method, f"one of {', '.join(METHODS)}", self.method in METHODS),
                ("scheduler", self.scheduler, f"one of {', '.join(SCHEDULERS)}", self.scheduler in SCHEDULERS),
                ("refine", self.refine, "at least 0", self.refine >= 0),
                ("min-improvement", least, "above 0 and below 1", least is None or 0 < least < 1),
                ("min-improvement", least, "given with --method bayes", least is None or is_bayes),
                ("earlier", self.earlier, "given with --method bayes", is_bayes or self.earlier is None),
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
        `best_over_default`: after 5, 10, 20 and all trials the best score so far by that of the first trial,
        median and quartiles over the seeds; `epochs_fraction`: epochs spent by those of the same trials
        run to their ends, the median; `share_below_095`: seeds that end below 0.95 of the default;
        `runs`: every trial. A trial's score is its WER at the last epoch that it ran.

    Raises:
        SettingsError: The table cannot be read.
    """
    recorded = Surrogate(read_runs(bench.table))
    earlier = None if bench.earlier is None else Surrogate(read_runs(bench.earlier, "--earlier"))
    tables = [_replay(bench, recorded, earlier, seed) for seed in track(range(bench.seeds), "sweeps", bench.seeds)]
    return _summarise(tables, bench.trials + bench.refine)


def _replay(bench: SearchBench, recorded: Surrogate, earlier: Surrogate | None, seed: int) -> TrialTable:
    sweep = SweepConfig.from_dict({**SPACE, "method": "random" if bench.method == "random" else "bayes"})
    default = recorded.default
    if earlier is not None:
        default = _find_earlier_best(sweep, earlier, seed)
        sweep = build_sweep_around(default)
    options: dict[str, Any] = {"default": default, "scheduler": bench.scheduler, "parallel": bench.parallel}
    if bench.method in OWN:
        sampler = build_sampler(sweep, seed, default, bench.min_improvement)
    else:
        sampler = build_peer(bench.method, sweep, seed)
    table = replay_sweep(sweep, sampler, recorded.curve, trials=bench.trials, **options)
    if bench.refine:
        refined = narrow_sweep(sweep, [sweep.nest(trial.configuration) for trial in choose_best(table, sweep.metric)])
        sampler = build_sampler(refined, seed, default, bench.min_improvement)
        replay_sweep(refined, sampler, recorded.curve, trials=len(table.trials) + bench.refine, table=table, **options)
    return table


def _find_earlier_best(sweep: SweepConfig, earlier: Surrogate, seed: int) -> Mapping[str, Any]:
    sampler = build_sampler(sweep, seed, earlier.default)
    options: dict[str, Any] = {"default": earlier.default, "scheduler": "none"}
    table = replay_sweep(sweep, sampler, earlier.curve, trials=_EARLIER_TRIALS, **options)
    return sweep.nest(choose_best(table, sweep.metric)[0].configuration)


def _summarise(tables: Sequence[TrialTable], trials: int) -> dict[str, Any]:
    relative = np.array([_follow_best(table, trials) for table in tables])
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


def _follow_best(table: TrialTable, trials: int) -> Any:
    """The best score so far by the first one, after each trial; where there were fewer, it stays what it was."""
    scores = [trial.last("wer") for trial in table.trials]
    scores += scores[-1:] * (trials - len(scores))
    return np.minimum.accumulate(scores) / scores[0]


def _spent(table: TrialTable) -> float:
    spent = sum(len(trial.reports) for trial in table.trials)
    return spent / sum(int(trial.configuration["epochs"]) for trial in table.trials)
