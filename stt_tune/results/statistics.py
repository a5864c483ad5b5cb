"""Is the gain real? Intervals and tests for what was measured on held-out speech."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
SIGNIFICANT = 0.05
_RESAMPLES = 4999
_FARTHEST = np.log(1000)  # that trainings lie apart: of two of them a t has one degree of freedom, and has no end


@dataclass(frozen=True)
class Interval:
    """A measured value with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Gain:
    """How much lower one system's error rate is than another's, as a fraction of the latter.

    Attributes:
        relative: 0.2 is 20 % fewer errors; below 0 there are more.
        low: Lower bound of the 95 % interval.
        high: Upper bound of it.
        p_value: Of the paired test: how likely so great a gain is between equals (one-sided).
    """

    relative: float
    low: float
    high: float
    p_value: float

    @property
    def is_real(self) -> bool:
        """Whether there is a gain beyond chance: the whole interval above none, and the test agrees."""
        return self.low > 0 and self.p_value < SIGNIFICANT


@dataclass(frozen=True)
class TrainingNoise:
    """How far trainings of one configuration, which differ in nothing but their seed, lie apart.

    Attributes:
        sd: Standard deviation of their error rate, relative to it.
        df: From how many differences it was found; 0: each was trained once, and it is not known.
    """

    sd: float = 0.0
    df: int = 0

    def draw(self, trainings: Sequence[int], rng: np.random.Generator) -> np.ndarray:
        """Draw factors by which a quotient of means over so many trainings may be off, [resamples]."""
        if not self.df:
            return np.ones(_RESAMPLES)
        error = self.sd * np.sqrt(sum(1 / count for count in trainings))
        factors: np.ndarray = np.exp(np.clip(error * rng.standard_t(self.df, _RESAMPLES), -_FARTHEST, _FARTHEST))
        return factors


def find_noise(systems: Sequence[np.ndarray]) -> TrainingNoise:
    """Estimate the training noise from all systems together.

    What differs utterance by utterance at random is left out: resampling utterances covers it.

    Args:
        systems: Of each the errors, [trainings, utterances], each training with another seed.
    """
    squares, df = 0.0, 0
    for errors in systems:
        if len(errors) < 2:
            continue
        totals = errors.sum(axis=1)
        if totals.any():
            excess = totals.var(ddof=1) - errors.var(axis=0, ddof=1).sum()
            squares += (len(errors) - 1) * excess / totals.mean() ** 2
            df += len(errors) - 1
    return TrainingNoise(float(np.sqrt(max(squares / df, 0))), df) if df else TrainingNoise()


def find_rate(
    errors: np.ndarray,
    words: np.ndarray,
    blocks: np.ndarray,
    *,
    noise: TrainingNoise = TrainingNoise(),
    seed: int = 0,
) -> Interval:
    """The error rate of one system, with its interval.

    Args:
        errors: Wrong, missing and extra words, [trainings, utterances].
        words: Of the references, [utterances].
        blocks: For each utterance what it must be resampled together with, its speaker for example,
            as numbers from 0; at least two.
        noise: Of its trainings.
        seed: Of the resampling.

    Source: as `compare`.
    """
    wrong, of = _sum(errors.mean(axis=0), blocks), _sum(words, blocks)
    rng = np.random.default_rng(seed)
    rates = _resample_quotient(wrong, of, rng) * noise.draw([len(errors)], rng)
    rate = float(_quotient(wrong, of))
    low, high = _find_bounds(rates, len(of))
    return Interval(rate, min(low, rate), max(high, rate))


def compare(
    before: np.ndarray,
    after: np.ndarray,
    blocks: np.ndarray | None = None,
    *,
    noise: TrainingNoise = TrainingNoise(),
    seed: int = 0,
    comparisons: int = 1,
) -> Gain:
    """Compare two systems on the same utterances.

    The interval is that of the paired bootstrap over blocks, widened for few blocks and by the noise
    of training; the test is Wilcoxon's on the blocks' differences.

    Args:
        before: Wrong, missing and extra words of the one, [trainings, utterances]; at least two blocks.
        after: The same of the other; it may have been trained more often or less.
        blocks: For each utterance what it must be resampled together with, its speaker for example,
            as numbers from 0; None: each stands alone.
        noise: Of both their trainings.
        seed: Of the resampling.
        comparisons: How many are made at once; the interval is widened so that all of them hold
            together (Bonferroni). P-values are left to `correct`.

    Source: Bisani and Ney 2004, "Bootstrap Estimates for Confidence Intervals in ASR Performance
        Evaluation", by scipy; expanded percentiles after Hesterberg 2015, "What Teachers Should Know
        About the Bootstrap"; blocks after Liu and Peng 2020, "Statistical Testing on ASR Performance
        via Blockwise Bootstrap".
    """
    blocks = np.arange(before.shape[1]) if blocks is None else blocks
    old, new = _sum(before.mean(axis=0), blocks), _sum(after.mean(axis=0), blocks)
    relative = 1 - float(_quotient(new, old))
    # rounded: means over three trainings differ in their last bits where they are equal
    differences = (old - new).round(6)
    if not differences.any():
        return Gain(relative, relative, relative, 1.0)  # every resample gives the same
    rng = np.random.default_rng(seed)
    ratios = _resample_quotient(new, old, rng) * noise.draw([len(before), len(after)], rng)
    low, high = _find_bounds(1 - ratios, len(old), comparisons)
    low, high = min(low, relative), max(high, relative)
    # one-sided, as the question is whether there are fewer errors; six blocks can answer it for three candidates
    p_value = float(stats.wilcoxon(differences, zero_method="pratt", alternative="greater").pvalue)
    return Gain(relative, low, high, p_value)


def correct(gains: Sequence[Gain]) -> list[Gain]:
    """Raise the p-values of comparisons made at once, so that none is significant by their number (Holm)."""
    corrected = correct_p_values([gain.p_value for gain in gains])
    return [replace(gain, p_value=p_value) for gain, p_value in zip(gains, corrected, strict=True)]


def correct_p_values(p_values: Sequence[float]) -> list[float]:
    """Raise p-values of tests made at once (Holm), by statsmodels."""
    if len(p_values) < 2:
        return list(p_values)
    from statsmodels.stats.multitest import multipletests  # takes over a second to import

    _rejected, corrected, *_levels = multipletests(p_values, method="holm")
    return [float(p_value) for p_value in corrected]


def format_p_value(p_value: float) -> str:
    """For people.

    >>> format_p_value(0.0004), format_p_value(0.0312)
    ('< 0.001', '0.031')
    """
    return "< 0.001" if p_value < 0.001 else f"{p_value:.3f}"


def _sum(values: np.ndarray, blocks: np.ndarray) -> np.ndarray:
    return np.bincount(blocks, weights=values)


def _resample_quotient(over: np.ndarray, under: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if not over.any():
        # no error was seen, so no resample has one; yet 3.7 may be expected (97.5 % bound of a Poisson's 0)
        unseen: np.ndarray = rng.gamma(1.0, size=_RESAMPLES) / max(under.sum(), 1)
        return unseen
    distribution: np.ndarray = stats.bootstrap(
        (over, under), _quotient, paired=True, n_resamples=_RESAMPLES, method="percentile", batch=1000, rng=rng
    ).bootstrap_distribution
    return distribution


def _quotient(over: np.ndarray, under: np.ndarray, axis: int = -1) -> np.ndarray:
    above, below = over.sum(axis=axis), under.sum(axis=axis)
    # without any error before there is nothing to gain, and each new one counts whole
    quotient: np.ndarray = np.where(below > 0, above / np.where(below > 0, below, 1), 1.0 + above)
    return quotient


def _find_bounds(distribution: np.ndarray, blocks: int, comparisons: int = 1) -> tuple[float, float]:
    outside = (1 - CONFIDENCE) / comparisons / 2
    # percentiles as they are would be too narrow for few blocks
    outside = stats.norm.cdf(np.sqrt(blocks / (blocks - 1)) * stats.t.ppf(outside, blocks - 1))
    low, high = np.quantile(distribution, [outside, 1 - outside])
    return float(low), float(high)
