"""What a data set is like, in a few numbers, so that it can be seen later whether it has moved."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stt_tune.results.drift import count_between
from stt_tune.speech.kinds import find_kind
from stt_tune.speech.manifest import Utterance
from stt_tune.speech.normalisers import Normalise
from stt_tune.speech.rates import KINDS, UtteranceErrors, count_errors

_WORDS = 100  # the most frequent ones stand for the vocabulary
HYPOTHESES = "hypotheses"


def profile_data(utterances: Sequence[Utterance], normalise: Normalise) -> dict[str, Any]:
    """Describe a data set.

    Returns:
        `utterances`; `durations_s`; `words`, how often each word occurs in one half of the utterances, and
        in two quarters; `error_types`, how many cases of each kind; and `base`, the word error rate an
        utterance of what production heard, where that is known for all.
    """
    profile: dict[str, Any] = {
        "utterances": len(utterances),
        "durations_s": [each.duration_s for each in utterances],
        "words": [
            dict(Counter(word for each in utterances[start::step] for word in normalise(each.text).split()))
            for start, step in ((0, 2), (1, 4), (3, 4))
        ],
    }
    kinds = Counter(find_kind(each, normalise) for each in utterances)
    if any(kinds[kind] for kind in KINDS):
        profile["error_types"] = {kind: kinds[kind] for kind in KINDS}
    heard = [each.hypothesis for each in utterances if each.hypothesis is not None]
    if len(heard) == len(utterances):
        ids, texts = [each.id for each in utterances], [each.text for each in utterances]
        profile["base"] = profile_errors(count_errors(ids, texts, heard, normalise), HYPOTHESES)
    return profile


def profile_errors(errors: Sequence[UtteranceErrors], source: str) -> dict[str, Any]:
    """Mean and standard deviation of the word error rate of an utterance.

    Args:
        errors: Of the system of today; at least one utterance.
        source: `hypotheses` or `base model`.
    """
    rates = [each.errors / max(each.words, 1) for each in errors]
    return {
        "source": source,
        "mean": float(np.mean(rates)),
        "sd": float(np.std(rates, ddof=1)) if len(rates) > 1 else 0.0,
        "utterances": len(rates),
    }


def shorten_profile(profile: Mapping[str, Any]) -> dict[str, Any]:
    """Make a profile small enough for `optimal_config.json`: counts between deciles, the most frequent words."""
    # words that are frequent by chance in what they are chosen on are not so elsewhere
    chosen_on, *quarters = (Counter[str](each) for each in profile["words"])
    frequent = [word for word, _count in chosen_on.most_common(_WORDS)]
    # two quarters: how far they differ says how far words of one utterance come together
    counts = [
        {**{word: each[word] for word in frequent}, "": each.total() - sum(each[word] for word in frequent)}
        for each in quarters
    ]
    edges = np.unique(np.quantile(profile["durations_s"], np.linspace(0.1, 0.9, 9)).round(3))
    return {
        **{name: value for name, value in profile.items() if name not in ("durations_s", "words")},
        "median_s": float(np.median(profile["durations_s"])),
        "duration_edges_s": edges.tolist(),
        "duration_counts": count_between(edges, profile["durations_s"]).tolist(),
        "words": counts,
    }
