"""Recorded fine-tuning runs, and a model of what other configurations would have given."""

from __future__ import annotations

import gzip
import json
import math
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import ExtraTreesRegressor

from stt_tune.errors import SettingsError
from stt_tune.progress import track

Run = Mapping[str, Any]
DEFAULT_ID = 0
_CLIP = 1.5  # a WER above it is as bad as any
_FINAL_TREES, _PARTIAL_TREES = 400, 200
_FOREST: Mapping[str, Any] = {"min_samples_leaf": 2, "bootstrap": True, "random_state": 0}


def read_runs(path: Path, option: str = "--table") -> list[Run]:
    """Read recorded runs: one JSON object a line, with `id`, `config` and `curve`; gzip where it ends in .gz.

    Raises:
        SettingsError: It cannot be read, or is no such table.
    """
    try:
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as lines:
            runs = [json.loads(line) for line in lines if line.strip()]
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise SettingsError(f"{option} {path}: must be recorded runs, one JSON object a line ({error}).") from error
    for number, run in enumerate(runs, start=1):
        problem = _find_problem(run)
        if problem:
            raise SettingsError(f"{option} {path}:{number}: {problem}")
    if not any(run["id"] == DEFAULT_ID for run in runs):
        raise SettingsError(f"{option} {path}: must hold the run of the default configuration, id {DEFAULT_ID}.")
    return runs


def _find_problem(run: Any) -> str | None:
    try:
        _id, configuration, curve = run["id"], run["config"], run["curve"]
        described = _describe(configuration)
        epochs = [entry["epoch"] for entry in curve if math.isfinite(math.log(entry["dev_wer"]))]
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        return f"must have id, config with the seven hyperparameters, and curve with epoch and dev_wer ({error!r})."
    if not all(map(math.isfinite, described)):
        return "config must hold finite numbers."
    if not isinstance(configuration["epochs"], int):
        return f"config.epochs must be a whole number, found {configuration['epochs']!r}."
    if epochs != list(range(1, configuration["epochs"] + 1)):
        return f"curve must hold epochs 1 to {configuration['epochs']}, found {epochs}."
    return None


class Surrogate:
    """Gives the WER curve of any configuration, as forests of extremely randomised trees learnt it from recorded runs.

    One forest gives the logarithm of the WER after the last epoch, another that after an earlier one.

    Attributes:
        default: The default configuration of the recorded runs.

    Source: the `surrogate.py` that comes with the recorded runs; Geurts et al. 2006, "Extremely randomized trees".
    """

    def __init__(self, runs: Sequence[Run]) -> None:
        """Learn from `runs`; one of them is the default configuration's."""
        self.default: Mapping[str, Any] = next(run["config"] for run in runs if run["id"] == DEFAULT_ID)
        whole = [(_describe(run["config"]), run["curve"][-1]["dev_wer"]) for run in runs]
        parts = [(_describe(run["config"], entry["epoch"]), entry["dev_wer"]) for run in runs for entry in run["curve"]]
        forests = [
            ExtraTreesRegressor(trees, **_FOREST).fit(*_to_arrays(rows))
            for trees, rows in track(((_FINAL_TREES, whole), (_PARTIAL_TREES, parts)), "learning from recorded runs", 2)
        ]
        # asked tree by tree: the forest's own way takes 20 times as long for a single row
        self._final, self._partial = ([each.tree_ for each in forest.estimators_] for forest in forests)
        self._known: dict[str, list[float]] = {}

    def curve(self, configuration: Mapping[str, Any]) -> list[float]:
        """Dev WER after each of the configuration's epochs."""
        key = json.dumps(configuration, sort_keys=True)
        if key not in self._known:
            self._known[key] = self._predict(configuration)
        return self._known[key]

    def _predict(self, configuration: Mapping[str, Any]) -> list[float]:
        final = _ask(self._final, [_describe(configuration)])[0]
        parts = _ask(
            self._partial, [_describe(configuration, epoch) for epoch in range(1, configuration["epochs"] + 1)]
        )
        return [float(wer) for wer in np.exp(parts + final - parts[-1])]


def _to_arrays(rows: Sequence[tuple[list[float], float]]) -> tuple[Any, Any]:
    return np.array([row for row, _wer in rows]), np.array([math.log(min(wer, _CLIP)) for _row, wer in rows])


def _ask(trees: Sequence[Any], rows: Sequence[Sequence[float]]) -> Any:
    # trees take single precision
    points = np.asarray(rows, dtype=np.float32)
    return sum(tree.predict(points)[:, 0] for tree in trees) / len(trees)


def _describe(configuration: Mapping[str, Any], epoch: int | None = None) -> list[float]:
    """What the forests are told of a configuration, and of an epoch of its run."""
    rate, batch = math.log10(configuration["learning_rate"]), configuration["batch_size"]
    accumulation, epochs = configuration["gradient_accumulation_steps"], configuration["epochs"]
    described = [
        rate,
        math.log2(batch),
        float(epochs),
        float(configuration["warmup_steps"]),
        float(configuration["weight_decay"]),
        float(configuration["dropout"]),
        math.log2(accumulation),
        rate - 0.3 * math.log2(batch * accumulation),
        math.log10(epochs / (batch * accumulation)),
    ]
    return described if epoch is None else [*described, epoch / epochs, epoch]
