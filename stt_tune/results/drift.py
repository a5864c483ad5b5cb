"""Has speech moved since a configuration was made for it? Two profiles of data, compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from stt_tune.results.statistics import SIGNIFICANT, correct_p_values

# Smaller ones are called negligible (Cohen 1988): with many utterances, chance alone is soon excluded.
_SMALL_V, _SMALL_D = 0.1, 0.2
_SCALE = 10**6
_EXPECTED = 5  # counts below it are put together, as is usual for chi-squared


@dataclass(frozen=True)
class Shift:
    """How one property of the data has changed.

    Attributes:
        name: `durations`, `error types`, `vocabulary` or `base WER`.
        p_value: How likely so great a change is by chance, corrected for the number of properties (Holm).
        effect: Its size: Cramér's V, or Cohen's d for the WER, whose sign says whither.
        is_large: Whether it is beyond chance and not negligible.
        told: What has changed, for people.
    """

    name: str
    p_value: float
    effect: float
    is_large: bool
    told: str


def compare_profiles(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Shift]:
    """Compare what data were like with what they are like now; what either does not know is left out.

    Args:
        before: As `shorten_profile` makes them and `optimal_config.json` keeps them.
        after: As `profile_data` makes them.

    Source: chi-squared tests of homogeneity with Cramér's V, Welch's t-test with Cohen's d
        (Fisher's exact test where neither WER varies), by scipy.
    """
    found = []
    if "duration_edges_s" in before and "durations_s" in after:
        edges, now = np.array(before["duration_edges_s"]), after["durations_s"]
        told = f"median {before['median_s']:.1f} s, now {float(np.median(now)):.1f} s"
        old = np.array(before["duration_counts"])
        found.append(("durations", *_test(old, count_between(edges, now)), _SMALL_V, told))
    if "error_types" in before and "error_types" in after:
        kinds = list(before["error_types"])
        old, new = (np.array([each["error_types"].get(kind, 0) for kind in kinds]) for each in (before, after))
        found.append(("error types", *_test(old, new), _SMALL_V, _describe(old, new, kinds)))
    if "words" in before and "words" in after:
        found.append(_compare_words(before["words"], after["words"]))
    if "base" in before and "base" in after and before["base"]["source"] == after["base"]["source"]:
        found.append(_compare_wers(before["base"], after["base"]))
    corrected = correct_p_values([p_value for _name, p_value, *_rest in found])
    return [
        Shift(name, p_value, effect, p_value < SIGNIFICANT and abs(effect) >= small, told)
        for (name, _p_value, effect, small, told), p_value in zip(found, corrected, strict=True)
    ]


_Found = tuple[str, float, float, float, str]


def count_between(edges: np.ndarray, values: Sequence[float]) -> np.ndarray:
    """How many values lie below, between and above the edges, [edges + 1]; a value on an edge lies below it."""
    return np.bincount(np.searchsorted(edges, np.asarray(values).round(3)), minlength=len(edges) + 1)


def _compare_words(before: Sequence[Mapping[str, int]], after: Sequence[Mapping[str, int]]) -> _Found:
    """Compare how often the old profile's words occur; "" stands for all others there."""
    words = list(before[0])
    quarters = [np.array([each.get(word, 0) for word in words]) for each in before]
    now = Counter[str]()
    for part in after:
        now.update(part)
    new = np.array([now[word] for word in words])
    new[words.index("")] = now.total() - new.sum() + new[words.index("")]
    # words of one utterance come together, so that they differ by more than so many draws would
    table = _tabulate(*quarters)
    statistic, _p_value, df, _expected = stats.chi2_contingency(table) if table.shape[1] > 1 else (0, 1, 1, None)
    old = quarters[0] + quarters[1]
    return ("vocabulary", *_test(old, new, max(statistic / df, 1.0)), _SMALL_V, _describe(old, new, words))


def _describe(old: np.ndarray, new: np.ndarray, names: Sequence[str]) -> str:
    change = new / max(new.sum(), 1) - old / max(old.sum(), 1)
    most = int(np.argmax(np.abs(change)))
    return f"most of all {names[most] or 'others'}, {100 * change[most]:+.1f} points"


def _test(old: np.ndarray, new: np.ndarray, dispersion: float = 1.0) -> tuple[float, float]:
    """P-value, and Cramér's V as of two samples of one size: the effect is not to depend on theirs."""
    table = _tabulate(old, new)
    if table.shape[1] < 2 or not table.sum(axis=1).all():
        return 1.0, 0.0
    statistic, _p_value, df, _expected = stats.chi2_contingency(table, correction=False)
    shares = np.rint(_SCALE * table / table.sum(axis=1, keepdims=True)).astype(int)
    effect = stats.contingency.association(shares[:, shares.any(axis=0)], method="cramer")
    return float(stats.chi2.sf(statistic / dispersion, df)), float(effect)


def _tabulate(old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Two rows of counts; the rare ones are put together."""
    table = np.stack([old, new])
    expected = table.sum(axis=0) * min(table.sum(axis=1)) / max(table.sum(), 1)
    rare = expected < _EXPECTED
    table = np.column_stack([table[:, ~rare], table[:, rare].sum(axis=1)])
    return table[:, table.any(axis=0)]


def _compare_wers(before: Mapping[str, Any], after: Mapping[str, Any]) -> _Found:
    sizes = [(each["mean"], each["sd"], each["utterances"]) for each in (after, before)]
    pooled = float(np.sqrt((before["sd"] ** 2 + after["sd"] ** 2) / 2))
    told = f"{before['mean']:.3f} an utterance, now {after['mean']:.3f}"
    if np.isclose(pooled, 0):
        return "base WER", *_test_constants(before, after), _SMALL_D, told
    p_value = float(stats.ttest_ind_from_stats(*sizes[0], *sizes[1], equal_var=False).pvalue)
    return "base WER", p_value, (after["mean"] - before["mean"]) / pooled, _SMALL_D, told


def _test_constants(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[float, float]:
    """P-value and Cohen's d where all utterances of either have one WER, so that there are two outcomes or one."""
    if np.isclose(before["mean"], after["mean"]):
        return 1.0, 0.0
    p_value = float(stats.fisher_exact(np.diag([before["utterances"], after["utterances"]])).pvalue)
    # the deviation of as many of either together is half of the difference
    return p_value, float(np.copysign(2, after["mean"] - before["mean"]))


def is_due(shifts: Sequence[Shift]) -> bool:
    """Whether a re-tune is due: anything has changed beyond chance, and not negligibly."""
    return any(shift.is_large for shift in shifts)
