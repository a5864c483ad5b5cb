"""How the search does on recorded runs that it was not made with: the recorded ones, changed in six ways.

    halved: every second run;
    shifted: what was best at a learning rate is best at three times that rate;
    mirrored: small learning rates, batches, warm-ups, decays and dropouts for large ones;
    noisy: the WER of every run is off by a factor with a deviation of 10 %;
    loss: the dev loss in the place of the WER;
    test: the WER on the test set.

python tests/benchmarks/unseen.py tests/benchmarks/digits_a.jsonl.gz [--wandb PYTHON]
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stt_tune.bench.recorded import Run, Surrogate, read_runs
from stt_tune.bench.replay import replay_sweep
from stt_tune.bench.search import SPACE, SearchBench, bench_search
from stt_tune.sweep.config import SweepConfig
from stt_tune.sweep.observation import Observation

_AFTER = (10, 20)
_BATCHES = (4, 8, 16, 24, 32)


class WandbEngine:
    """W&B's Bayesian engine as a sampler."""

    def __init__(self, python: str, seed: int) -> None:
        """Start it."""
        command = [python, str(Path(__file__).with_name("wandb_engine.py"))]
        self._engine = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._seed = seed

    def propose(self, number: int, known: Sequence[Observation]) -> dict[str, Any]:
        """Ask for the next."""
        runs = [{"config": dict(each.configuration), "wer": each.value} for each in known]
        question = {"sweep": SPACE, "seed": 1000 * self._seed + number, "runs": runs}
        assert self._engine.stdin is not None
        assert self._engine.stdout is not None
        self._engine.stdin.write(json.dumps(question) + "\n")
        self._engine.stdin.flush()
        answer: dict[str, Any] = json.loads(self._engine.stdout.readline())
        return answer

    def close(self) -> None:
        """Let it end."""
        self._engine.communicate()


def _mirror(run: dict[str, Any]) -> None:
    config = run["config"]
    config["learning_rate"] = 1e-9 / config["learning_rate"]
    config["batch_size"] = _BATCHES[-1 - _BATCHES.index(config["batch_size"])]
    config["warmup_steps"] = 200 - config["warmup_steps"]
    for name in ("weight_decay", "dropout"):
        config[name] = 0.3 - config[name]


def _shift(run: dict[str, Any]) -> None:
    run["config"]["learning_rate"] *= 3


def be_off(run: Mapping[str, Any], curve: Sequence[dict[str, Any]], deviation: float) -> None:
    """Change the WER in these entries of a run's curve by one factor, drawn with such a deviation."""
    factor = float(np.exp(np.random.default_rng(run["id"]).normal(scale=deviation)))
    for entry in curve:
        entry["dev_wer"] *= factor


def _take(name: str) -> Callable[[dict[str, Any]], None]:
    def take(run: dict[str, Any]) -> None:
        for entry in run["curve"]:
            entry["dev_wer"] = entry[name]

    return take


_CHANGES: dict[str, Callable[[dict[str, Any]], None]] = {
    "recorded": lambda run: None,
    "halved": lambda run: None,
    "shifted": _shift,
    "mirrored": _mirror,
    "noisy": lambda run: be_off(run, run["curve"], 0.1),
    "loss": _take("dev_loss"),
    "test": _take("test_wer"),
}


def write_variant(name: str, runs: Sequence[Run], folder: Path) -> Path:
    """Write the recorded runs, changed in the way of that name; the default stays what it is in the space."""
    path = folder / f"{name}.jsonl"
    write_changed([run for run in runs if name != "halved" or run["id"] % 2 == 0], _CHANGES[name], path)
    return path


def write_changed(runs: Sequence[Run], change: Callable[[dict[str, Any]], None], path: Path) -> None:
    """Write copies of recorded runs, each changed so."""
    changed = [copy.deepcopy(dict(run)) for run in runs]
    for run in changed:
        change(run)
    path.write_text("".join(json.dumps(run) + "\n" for run in changed))


def _ask_wandb(python: str, path: Path, seeds: int) -> list[float]:
    surrogate, sweep = Surrogate(read_runs(path)), SweepConfig.from_dict(SPACE)
    found = []
    for seed in range(seeds):
        engine = WandbEngine(python, seed)
        default, trials = surrogate.default, _AFTER[-1]
        table = replay_sweep(sweep, engine, surrogate.curve, default=default, trials=trials, scheduler="none")
        engine.close()
        scores = [trial.last("wer") for trial in table.trials]
        found.append([min(scores[:after]) / scores[0] for after in _AFTER])
    return [statistics.median(each) for each in zip(*found, strict=True)]


def main() -> None:
    """Print the medians, a line a variant."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", type=Path)
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--methods", nargs="+", default=["bayes", "optuna-gp", "optuna-tpe"])
    parser.add_argument("--wandb", metavar="PYTHON", help="an interpreter that has W&B's engine; see wandb_engine.py")
    asked = parser.parse_args()
    runs = read_runs(asked.table)
    print(f"best WER by the default's after {' / '.join(map(str, _AFTER))} trials, medians of {asked.seeds} sweeps")
    print(f"| runs | {' | '.join([*asked.methods, *(['W&B bayes'] if asked.wandb else [])])} |")
    with tempfile.TemporaryDirectory() as folder:
        for name in _CHANGES:
            path = write_variant(name, runs, Path(folder))
            rows = []
            for method in asked.methods:
                found = bench_search(SearchBench(path, method, trials=_AFTER[-1], seeds=asked.seeds))
                rows.append([found["best_over_default"][str(after)]["median"] for after in _AFTER])
            if asked.wandb:
                rows.append(_ask_wandb(asked.wandb, path, asked.seeds))
            print(f"| {name} | {' | '.join(' / '.join(f'{each:.2f}' for each in row) for row in rows)} |", flush=True)


if __name__ == "__main__":
    main()
