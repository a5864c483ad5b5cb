"""Which hyperparameters decide the result: a model of the trials, asked on trials that it was not made from."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.inspection import partial_dependence, permutation_importance
from sklearn.model_selection import KFold

from stt_tune.results.report.encoding import Encoding
from stt_tune.results.trials import CONFIG

ENOUGH_TRIALS = 12
"""Fewer completed trials leave too few beside those that a model is made from."""

_FOLDS, _TREES, _REPEATS, _GRID = 5, 100, 5, 20
_LEAST, _MOST = 0.02, 0.98  # quantiles between which a dependence is drawn


class Surrogate:
    """Forests that foretell the objective from hyperparameters, each made from four fifths of the trials.

    Attributes:
        explained: The share of the variance that they foretell of the trials left out (R², at most 1).
        importance: Columns `parameter`, `importance` (what of `explained` is lost when the hyperparameter's
            values are exchanged between the trials left out) and `spread` (its standard deviation over folds and
            repeats), the most important first.
    """

    def __init__(self, trials: pd.DataFrame, columns: list[str], metric: str, seed: int = 0) -> None:
        """Make it.

        Args:
            trials: Completed trials, at least `ENOUGH_TRIALS`.
            columns: Of the hyperparameters, with their prefix.
            metric: The objective's column; its logarithm is foretold where it is above 0.
            seed: Of folds and forests.

        Source: Breiman 2001, "Random Forests" (permutation importance); Geurts et al. 2006 (extremely randomised
        trees).
        """
        self._encodings = {name: Encoding.of(trials[name]) for name in columns}
        self._inputs = np.column_stack([each.encode(trials[name]) for name, each in self._encodings.items()])
        self._is_log = bool((trials[metric] > 0).all())
        target = trials[metric].to_numpy(float)
        self._target = np.log(target) if self._is_log else target
        variance = float(np.var(self._target)) or 1.0
        self._forests, errors, drops = [], [], []
        for learned, left in KFold(_FOLDS, shuffle=True, random_state=seed).split(self._inputs):
            forest = ExtraTreesRegressor(_TREES, min_samples_leaf=2, random_state=seed)
            self._forests.append(forest.fit(self._inputs[learned], self._target[learned]))
            error, drop = self._test(forest, left, seed)
            errors.append(error)
            drops.append(drop)
        self.explained = 1 - float(np.mean(errors)) / variance
        losses = np.concatenate(drops, axis=1) / variance
        names = [name.removeprefix(CONFIG) for name in columns]
        importance = {"parameter": names, "importance": losses.mean(axis=1), "spread": losses.std(axis=1)}
        self.importance = pd.DataFrame(importance).sort_values("importance", ascending=False, kind="stable")

    def _test(self, forest: ExtraTreesRegressor, left: np.ndarray, seed: int) -> tuple[float, np.ndarray]:
        """The mean squared error on trials left out, and by what it rises without each input, [inputs, repeats]."""
        inputs, target = self._inputs[left], self._target[left]
        how = {"scoring": "neg_mean_squared_error", "n_repeats": _REPEATS, "random_state": seed}
        drops: np.ndarray = permutation_importance(forest, inputs, target, **how).importances
        return float(np.mean((target - forest.predict(inputs)) ** 2)), drops

    def depend(self, column: str) -> pd.DataFrame:
        """The objective that is expected for values of one hyperparameter, the others as the trials had them.

        Returns:
            Columns `value`, `expected`, `low`, `high`; the last two are the extremes over the forests.
        """
        place, encoding = list(self._encodings).index(column), self._encodings[column]
        known = self._inputs[~np.isnan(self._inputs[:, place]), place]
        grid = np.unique(known)
        if len(grid) > _GRID and encoding.choices is None:
            spread = np.linspace(np.quantile(known, _LEAST), np.quantile(known, _MOST), _GRID)
            # values that were tried: between them may lie some that cannot be
            grid = np.unique(grid[np.abs(grid[:, None] - spread).argmin(axis=0)])
        values = {"custom_values": {place: grid}, "kind": "average"}
        averages = np.array(
            [partial_dependence(each, self._inputs, [place], **values)["average"][0] for each in self._forests]
        )
        curves = np.exp(averages) if self._is_log else averages
        return pd.DataFrame(
            {
                "value": [encoding.decode(each) for each in grid],
                "expected": curves.mean(axis=0),
                "low": curves.min(axis=0),
                "high": curves.max(axis=0),
            }
        )


def find_surrogate(trials: pd.DataFrame, columns: list[str], metric: str) -> Surrogate | None:
    """Make a model of completed trials; None where they are too few, or nothing differs between them."""
    differing = [name for name in columns if trials[name].dropna().astype(str).nunique() > 1]
    if len(trials) < ENOUGH_TRIALS or not differing or trials[metric].nunique() < 2:
        return None
    return Surrogate(trials, differing, metric)
