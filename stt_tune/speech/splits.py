"""Divide utterances into train, dev and test where the manifest does not say."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np

from stt_tune.errors import ManifestError
from stt_tune.speech.manifest import SPLITS, Utterance

_SHARES = {"test": 0.2, "dev": 0.2, "train": 0.6}
_ENOUGH_SPEAKERS = 6
_LEAST = {"train": 1, "dev": 1, "test": 2}  # one utterance has no interval


def assign_splits(utterances: list[Utterance], seed: int) -> tuple[list[Utterance], str]:
    """Give every utterance a split.

    The manifest's own splits are kept. Without any, whole speakers go to one split each (at
    least 6 speakers, known for every row), else single utterances do: 60 % train, 20 % dev,
    20 % test.

    Returns:
        The utterances in their order, and how they were split: `manifest`, `speaker` or `utterance`.

    Raises:
        ManifestError: Only some rows name a split, or a split would hold too few.
    """
    named = sum(utterance.split is not None for utterance in utterances)
    if 0 < named < len(utterances):
        missing = next(utterance.id for utterance in utterances if utterance.split is None)
        raise ManifestError(
            f"split must be given for all rows or for none, found {named} of {len(utterances)} "
            f"({missing} has none). Fill it in or remove it."
        )
    if named:
        split_by = "manifest"
    else:
        utterances, split_by = _split_from_seed(utterances, np.random.default_rng(seed))
    counts = Counter(utterance.split for utterance in utterances)
    if any(counts[split] < least for split, least in _LEAST.items()):
        found = ", ".join(f"{counts[split]} {split}" for split in SPLITS)
        raise ManifestError(
            f"there must be at least 1 train, 1 dev and 2 test utterances, found {found} (split by {split_by}). "
            "Add rows, or remove every split to let the tool divide them."
        )
    return utterances, split_by


def _split_from_seed(utterances: list[Utterance], rng: np.random.Generator) -> tuple[list[Utterance], str]:
    speakers = {utterance.speaker for utterance in utterances}
    by_speaker = None not in speakers and len(speakers) >= _ENOUGH_SPEAKERS
    groups: dict[str, list[int]] = defaultdict(list)
    for index, utterance in enumerate(utterances):
        groups[str(utterance.speaker) if by_speaker else utterance.id].append(index)
    assigned: dict[int, str] = {}
    shuffled = [sorted(groups)[i] for i in rng.permutation(len(groups))]
    counts: Counter[str] = Counter()
    for group in shuffled:
        # the split that lacks most of its share, so that each gets a speaker early
        split = min(_SHARES, key=lambda each: counts[each] / _SHARES[each])
        counts[split] += len(groups[group])
        assigned |= dict.fromkeys(groups[group], split)
    return [replace(utterance, split=assigned[i]) for i, utterance in enumerate(utterances)], (
        "speaker" if by_speaker else "utterance"
    )
