"""Is the gain real? Intervals for what was measured on held-out speech."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

_CONFIDENCE = 0.95
_RESAMPLES = 9999


@dataclass(frozen=True)
class Gain:
    """How much lower the candidate's error rate is than the default's, as a fraction of it.

    Attributes:
        relative: 0.2 is 20 % fewer errors; below 0 the candidate is worse.
        low: Lower bound of the 95 % interval.
        high: Upper bound of it.
    """

    relative: float
    low: float
    high: float

    @property
    def is_real(self) -> bool:
        """Whether the whole interval lies above no gain."""
        return self.low > 0


def paired_gain(
    default_errors: Sequence[int], candidate_errors: Sequence[int], seed: int, *, comparisons: int = 1
) -> Gain:
    """Compare two systems on the same utterances by the paired bootstrap.

    Args:
        default_errors: The default's wrong, missing and extra words, one count an utterance; at
            least two utterances.
        candidate_errors: The candidate's, in the same order.
        seed: Of the resampling.
        comparisons: How many are made at once; the interval is widened so that all of them hold
            together (Bonferroni).

    Source: Bisani and Ney 2004, "Bootstrap Estimates for Confidence Intervals in ASR Performance
        Evaluation"; percentile bounds by scipy.
    """
    default, candidate = np.asarray(default_errors, float), np.asarray(candidate_errors, float)
    relative = float(_relative_gain(default, candidate, axis=-1))
    if np.array_equal(default, candidate):
        return Gain(relative, relative, relative)  # every resample gives the same
    interval = stats.bootstrap(
        (default, candidate),
        _relative_gain,
        paired=True,
        confidence_level=1 - (1 - _CONFIDENCE) / comparisons,
        n_resamples=_RESAMPLES,
        method="percentile",
        batch=1000,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Gain(relative, float(interval.low), float(interval.high))


def _relative_gain(default: np.ndarray, candidate: np.ndarray, axis: int) -> np.ndarray:
    before, after = default.sum(axis=axis), candidate.sum(axis=axis)
    # without any error before there is nothing to gain, and each new one counts whole
    gain: np.ndarray = np.where(before > 0, 1 - after / np.maximum(before, 1), 0.0 - after)
    return gain
