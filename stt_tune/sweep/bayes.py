"""Bayesian optimisation: the next configuration is the one that promises the greatest improvement."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree
from scipy.stats import qmc

from stt_tune.sweep import gaussian_process
from stt_tune.sweep.config import SweepConfig
from stt_tune.sweep.gaussian_process import Array
from stt_tune.sweep.observation import Configuration, Observation, extrapolate
from stt_tune.sweep.unit_cube import UnitCube

# All of these were chosen by `stt-tune bench search` on recorded runs, those and their like
# mirrored, halved and with noise, and on made-up functions; each but little matters.
_SPREAD_TRIALS = 2  # after the default; without one, after twice as many
_REACH = 0.25  # of each axis to either side of the default, where the first trials lie
_EXTRAPOLATION_NOISE = 0.35  # deviation of where a trial was going that was stopped half-way
_CANDIDATES, _NEIGHBOURS, _STARTS = 1024, 512, 8
_STEPS = (0.1, 0.05, 0.02, 0.01)
_SHARE_MOVED = 0.3  # of the axes, in one step
_SAME = 1e-9  # on each axis; values are rounded on their way to a place and back


class BayesSampler:
    """A Gaussian process over the unit cube, and the expected improvement over its best point.

    The first trials are spread around the default configuration, or without one over the cube.
    Trials without a result count as bad as the worst; what is much worse than most is taken as just
    worse, so that the model can tell good ones apart. Those stopped early count for where they were
    going, as far as that is certain. Running ones are taken to give what the model expects of them,
    so that proposals made in parallel differ. None is proposed twice: where all of a space's configurations
    have been tried, there are no more.

    Source: Snoek et al. 2012, "Practical Bayesian Optimization of Machine Learning Algorithms";
    Garrido-Merchan and Hernandez-Lobato 2020, "Dealing with Categorical and Integer-valued Variables
    in Bayesian Optimization with Gaussian Processes", for values that are no real numbers.
    """

    def __init__(
        self,
        sweep: SweepConfig,
        seed: int,
        *,
        default: Configuration | None = None,
        within: SweepConfig | None = None,
        min_improvement: float | None = None,
    ) -> None:
        """Search `sweep`.

        Args:
            sweep: The space that the model knows.
            seed: Of everything that is drawn.
            default: Where the search begins.
            within: A narrower space, from which proposals come.
            min_improvement: There are no more once the best proposal is expected to improve on the best
                trial by less than this share, on average.
        """
        self._cube = UnitCube(sweep, within)
        self._seed = seed
        self._sign = 1 if sweep.metric.mode == "min" else -1
        self._centre = None if default is None else self._cube.place(default)
        self._min_improvement = min_improvement

    def propose(self, number: int, known: Sequence[Observation]) -> dict[str, Any] | None:
        """The configuration that promises the greatest improvement."""
        known = sorted(known, key=lambda each: each.number)
        spread = _SPREAD_TRIALS if self._centre is not None else 2 * _SPREAD_TRIALS
        placed = [(each, place) for each in known if (place := self._cube.place(each.configuration)) is not None]
        taken = np.array([place for _each, place in placed]).reshape(-1, self._cube.size)
        if self._is_exhausted(taken):
            return None
        if len(known) <= spread or sum(each.is_finite for each, _place in placed) < 2:
            return self._cube.configuration(self._spread(number, taken))
        rng = np.random.default_rng([self._seed, number])
        points, improvement = self._maximise(taken, [each for each, _place in placed], known, rng)
        if self._min_improvement is not None and improvement < self._min_improvement:
            return None
        return self._cube.configuration(_first_new(points, taken))

    def _is_exhausted(self, taken: Array) -> bool:
        """Whether a space of less than `_CANDIDATES` points has none left; one of real numbers lists none."""
        points = self._cube.list_points(_CANDIDATES)
        return 0 < len(points) < _CANDIDATES and not _are_new(points, taken).any()

    def _spread(self, number: int, taken: Array) -> Array:
        """A point of a sequence that fills the space evenly; where it is taken, the next that is not."""
        sequence = qmc.Sobol(self._cube.size, scramble=True, rng=np.random.default_rng(self._seed))
        u = sequence.random_base2((number + _CANDIDATES).bit_length())[number : number + _CANDIDATES]
        points = [self._cube.spread(u), self._cube.list_points(len(taken) + 1)]
        if self._centre is not None and number <= 2 * _SPREAD_TRIALS:
            points.insert(0, self._cube.snap(self._centre + (2 * u - 1) * _REACH))
        return _first_new(np.concatenate(points), taken)

    def _maximise(
        self, taken: Array, placed: Sequence[Observation], known: Sequence[Observation], rng: np.random.Generator
    ) -> tuple[Array, float]:
        """Points, the most promising first, by a search ever nearer to the best found; and what the first promises.

        The promise is the expected improvement as a share of the best value.
        """
        features = self._cube.features
        ended = np.array([each.value is not None for each in placed])
        values, noise, unit = self._reckon([each for each in placed if each.value is not None], known)
        process = gaussian_process.fit(features(taken[ended]), values, noise)
        if not ended.all():
            expected, _deviation = gaussian_process.predict(process, features(taken[~ended]))
            taken, values = np.concatenate([taken[ended], taken[~ended]]), np.concatenate([values, expected])
            noise = np.concatenate([noise, np.zeros(len(expected))])
            process = gaussian_process.condition(process.kernel_, features(taken), values, noise)
        mean, _deviation = gaussian_process.predict(process, features(taken))
        best = float(mean.min())

        def promise(points: Array) -> Array:
            return gaussian_process.log_expected_improvement(*gaussian_process.predict(process, features(points)), best)

        good = taken[np.argsort(values, kind="stable")[:5]]
        anywhere = self._cube.spread(qmc.Sobol(self._cube.size, scramble=True, rng=rng).random(_CANDIDATES))
        # they cannot all be taken, unless there are no others
        listed = self._cube.list_points(len(taken) + 1)
        near = (self._step(good, _NEIGHBOURS, width, rng) for width in (0.2, 0.05))
        points = self._sift(np.concatenate([anywhere, listed, *near]), taken)
        for width in _STEPS:
            points = points[np.argsort(-promise(points), kind="stable")[:_STARTS]]
            points = self._sift(np.concatenate([points, self._step(points, _NEIGHBOURS // 2, width, rng)]), taken)
        promised = promise(points)
        return points[np.argsort(-promised, kind="stable")], math.exp(promised.max()) * unit

    def _sift(self, points: Array, taken: Array) -> Array:
        """The points that are new, each once; all, where there is none.

        Among real numbers hardly any point comes twice, and a search may well begin at one that is taken.
        """
        if not self._cube.is_countable:
            return points
        _sorted, first = np.unique(points, axis=0, return_index=True)
        points = points[np.sort(first)]
        is_new = _are_new(points, taken)
        return points[is_new] if is_new.any() else points

    def _step(self, points: Array, count: int, width: float, rng: np.random.Generator) -> Array:
        """Points near others, moved along some of the axes."""
        size = self._cube.size
        moved = rng.random((count, size)) < _SHARE_MOVED
        moved[np.arange(count), rng.integers(size, size=count)] = True
        steps = rng.normal(scale=width, size=(count, size)) * moved
        return self._cube.snap(points[rng.integers(len(points), size=count)] + steps)

    def _reckon(self, ended: Sequence[Observation], known: Sequence[Observation]) -> tuple[Array, Array, float]:
        """What the model is told of trials: values, the less the better, and the variances of those reckoned.

        The last is how much a step of 1 in these values is, as a share of the best trial's.
        """
        curves = [each.values if each.is_finite else () for each in known]
        # error rates and losses differ by factors
        is_rate = self._sign == 1 and all(value > 0 for curve in curves for value in curve)

        def scale(observation: Observation) -> list[float]:
            return [math.log(value) if is_rate else self._sign * value for value in observation.values]

        whole = [scale(each) for each in known if each.share >= 1 and each.is_finite]
        found = np.array([extrapolate(scale(each), each.share, whole) if each.is_finite else np.nan for each in ended])
        found = np.where(np.isnan(found), np.nanmax(found), found)
        found = np.minimum(found, 2 * np.median(found) - found.min())
        deviation = float(found.std()) or 1.0
        values = (found - found.mean()) / deviation
        noise = np.array([(_EXTRAPOLATION_NOISE * (1 - each.share) / each.share) ** 2 for each in ended])
        best = abs(float(found.min())) or abs(float(found.mean())) or 1.0
        return values, noise, deviation if is_rate else deviation / best


def _are_new(points: Array, taken: Array) -> NDArray[np.bool_]:
    """Which points, `[n, d]`, are none of those that are taken, `[m, d]`; `[n]`."""
    distance, _nearest = KDTree(taken).query(points, p=np.inf, distance_upper_bound=_SAME)
    return np.isinf(distance)


def _first_new(points: Array, taken: Array) -> Array:
    """The first of the points, `[n, d]`, that is not taken; the first one, where all are."""
    point: Array = points[_are_new(points, taken).argmax()]
    return point
