"""Has speech moved since a configuration was made for it? Two profiles of data, compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

_SIGNIFICANT = 0.05
# Smaller ones are called negligible (Cohen 1988): with many utterances, chance alone is soon excluded.
_SMALL_V, _SMALL_D = 0.1, 0.2
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

    Source: chi-squared tests of homogeneity with Cramér's V, Welch's t-test with Cohen's d, by scipy.
    """
    found = []
    if "duration_deciles_s" in before and "durations_s" in after:
        found.append(_compare_durations(before, after))
    if "error_types" in before and "error_types" in after:
        found.append(_compare_counts("error types", before["error_types"], after["error_types"]))
    if "words" in before and "words" in after:
        now = Counter(after["words"][0]) + Counter(after["words"][1])
        found.append(_compare_counts("vocabulary", before["words"], now))
    if "base" in before and "base" in after and before["base"]["source"] == after["base"]["source"]:
        found.append(_compare_wers(before["base"], after["base"]))
    if not found:
        return []
    from statsmodels.stats.multitest import multipletests  # takes over a second to import

    _rejected, corrected, *_levels = multipletests([p_value for _name, p_value, *_rest in found], method="holm")
    return [
        Shift(name, float(p_value), effect, bool(p_value < _SIGNIFICANT and abs(effect) >= small), told)
        for (name, _p_value, effect, small, told), p_value in zip(found, corrected, strict=True)
    ]


_Found = tuple[str, float, float, float, str]


def _compare_durations(before: Mapping[str, Any], after: Mapping[str, Any]) -> _Found:
    """Count how many of the new clips fall between the deciles of the old ones."""
    edges = np.unique(before["duration_deciles_s"][1:-1])
    new = np.bincount(np.searchsorted(edges, after["durations_s"]), minlength=len(edges) + 1)
    old = np.full(len(edges) + 1, before["utterances"] / (len(edges) + 1))
    told = f"median {before['duration_deciles_s'][5]:.1f} s, now {float(np.median(after['durations_s'])):.1f} s"
    return ("durations", *_test(old, new), _SMALL_V, told)


def _compare_counts(name: str, before: Mapping[str, int], after: Mapping[str, int]) -> _Found:
    # what the old profile does not list is one kind: "" stands for it there
    listed = [each for each in before if each]
    rest = sum(count for each, count in after.items() if each not in listed)
    old = np.array([*(before[each] for each in listed), before.get("", 0)], float)
    new = np.array([*(after.get(each, 0) for each in listed), rest], float)
    shares = [(new[i] / new.sum() - old[i] / old.sum(), each or "others") for i, each in enumerate([*listed, ""])]
    change, which = max(shares, key=lambda each: abs(each[0]))
    return (name, *_test(old, new), _SMALL_V, f"most of all {which}, {100 * change:+.1f} points")


def _test(old: np.ndarray, new: np.ndarray) -> tuple[float, float]:
    """P-value and Cramér's V of two lists of counts."""
    table = np.stack([old, new])
    expected = table.sum(axis=0) * min(table.sum(axis=1)) / table.sum()
    rare = expected < _EXPECTED
    table = np.column_stack([table[:, ~rare], table[:, rare].sum(axis=1)])
    table = table[:, table.sum(axis=0) > 0]
    if table.shape[1] < 2:
        return 1.0, 0.0
    return float(stats.chi2_contingency(table).pvalue), float(
        stats.contingency.association(np.rint(table).astype(int), method="cramer")
    )


def _compare_wers(before: Mapping[str, Any], after: Mapping[str, Any]) -> _Found:
    sizes = [(each["mean"], each["sd"], each["utterances"]) for each in (after, before)]
    pooled = float(np.sqrt((before["sd"] ** 2 + after["sd"] ** 2) / 2))
    told = f"{before['mean']:.3f} an utterance, now {after['mean']:.3f}"
    if pooled == 0:
        return "base WER", 1.0, 0.0, _SMALL_D, told
    p_value = float(stats.ttest_ind_from_stats(*sizes[0], *sizes[1], equal_var=False).pvalue)
    return "base WER", p_value, (after["mean"] - before["mean"]) / pooled, _SMALL_D, told


def is_due(shifts: Sequence[Shift]) -> bool:
    """Whether a re-tune is due: anything has changed beyond chance, and not negligibly."""
    return any(shift.is_large for shift in shifts)
