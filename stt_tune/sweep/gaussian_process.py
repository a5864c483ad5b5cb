"""A Gaussian process with priors that hold where results are few."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

if TYPE_CHECKING:
    from sklearn.gaussian_process import GaussianProcessRegressor

Array = NDArray[np.float64]
# Normal priors on logarithms, for values of mean 0 and deviation 1 over a unit cube: a length of 1
# is a parameter that hardly matters, a noise of exp(-5) a deviation of 0.08.
_LENGTH, _AMPLITUDE, _NOISE, _DEVIATION = 0.0, 0.0, -5.0, 1.0
_REACH = 4.0  # deviations of the priors
_LEAST_NOISE = 1e-6
# Lengths and noise are learnt from no more points than these: the time grows with the cube of their number.
_MOST_POINTS = 150


def fit(points: Array, values: Array, extra_noise: Array) -> GaussianProcessRegressor:
    """Fit a Matern 5/2 process with a length for each axis, at the mode of the posterior.

    Args:
        points: `[n, d]`.
        values: `[n]`, of mean 0 and deviation 1.
        extra_noise: `[n]`, variances that are known beside the noise that all values share.

    Source: Rasmussen and Williams 2006, "Gaussian Processes for Machine Learning", chapter 5.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    axes = points.shape[1]
    prior = np.array([_AMPLITUDE, *[_LENGTH] * axes, _NOISE])
    low, high = np.exp(prior - _REACH * _DEVIATION), np.exp(prior + _REACH * _DEVIATION)
    kernel = ConstantKernel(1.0, (low[0], high[0])) * Matern(np.ones(axes), (low[1], high[1]), nu=2.5)
    kernel += WhiteKernel(math.exp(_NOISE), (low[-1], high[-1]))

    def find_mode(loss: Callable[[Array], tuple[float, Array]], start: Array, bounds: Any) -> tuple[Array, float]:
        def with_prior(theta: Array) -> tuple[float, Array]:
            value, gradient = loss(theta)
            pull = (theta - prior) / _DEVIATION**2
            return value + 0.5 * float(pull @ (theta - prior)), gradient + pull

        found = optimize.minimize(with_prior, start, jac=True, method="L-BFGS-B", bounds=bounds)
        return found.x, found.fun

    # every so many in the order of their values
    few = np.argsort(values, kind="stable")[:: math.ceil(len(values) / _MOST_POINTS)]
    learner = GaussianProcessRegressor(kernel, alpha=_LEAST_NOISE + extra_noise[few], optimizer=find_mode)
    with warnings.catch_warnings():
        # the bounds are far out on the priors: to end at one is no fault
        warnings.simplefilter("ignore", ConvergenceWarning)
        learnt = learner.fit(points[few], values[few]).kernel_
    return condition(learnt, points, values, extra_noise)


def condition(kernel: Any, points: Array, values: Array, extra_noise: Array) -> GaussianProcessRegressor:
    """Make the process with that kernel, given the values at the points."""
    from sklearn.gaussian_process import GaussianProcessRegressor

    return GaussianProcessRegressor(kernel, alpha=_LEAST_NOISE + extra_noise, optimizer=None).fit(points, values)


def predict(process: GaussianProcessRegressor, points: Array) -> tuple[Array, Array]:
    """Mean and deviation, each `[n]`, of what lies under the noise."""
    mean, deviation = process.predict(points, return_std=True)
    noise = process.kernel_.k2.noise_level
    return mean, np.sqrt(np.maximum(deviation**2 - noise, 1e-12))


def log_expected_improvement(mean: Array, deviation: Array, best: float) -> Array:
    """The logarithm of the expected improvement below `best`, exact also where it is next to nothing.

    Source: Ament et al. 2023, "Unexpected Improvements to Expected Improvement for Bayesian Optimization".
    """
    u = (best - mean) / deviation
    log_density = -0.5 * u**2 - 0.5 * math.log(2 * math.pi)
    # phi + u * Phi = phi * (1 - |u| * Mills' ratio) below 0
    below = np.minimum(u, -1.0)
    mills = math.sqrt(math.pi / 2) * special.erfcx(-below / math.sqrt(2))
    # for u far below 0 the difference is lost in rounding, and is 1 / u**2
    rest = np.where(below < -1e3, 1 / below**2, np.maximum(1 + below * mills, 1e-300))
    above = np.maximum(u, -1.0)
    exact = np.log(np.exp(-0.5 * above**2) / math.sqrt(2 * math.pi) + above * special.ndtr(above))
    return np.where(u > -1, exact, log_density + np.log(rest)) + np.log(deviation)
