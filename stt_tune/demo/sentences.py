"""Warehouse orders: the sentences of the embedded speech."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

_TEMPLATES = (
    "please move the {colour} {thing} {place}",
    "there are {number} {colour} {thing}s {place}",
    "take {number} {thing}s and leave them {place}",
    "do not open the {colour} {thing} before {day}",
    "we need {number} more {thing}s for {day}",
    "the {colour} {thing} {place} is broken",
    "someone left the {thing} {place} again",
    "can you check the {thing} {place} on {day}",
)
_NUMBERS = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_COLOURS = ("red", "blue", "green", "yellow", "black", "white", "heavy", "empty")
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_THINGS = (
    "crate",
    "door",
    "table",
    "bottle",
    "window",
    "ladder",
    "basket",
    "pallet",
    "gasket",
    "bracket",
    "engine",
    "carton",
)
_PLACES = (
    "on the left side",
    "next to the kitchen",
    "behind the main gate",
    "near the loading dock",
    "in the cold room",
    "at the front desk",
    "under the stairs",
)
# Spoken in the test split alone: what was learned must carry over to words never trained on.
TEST_ONLY_THINGS = ("mirror", "blanket", "hammer", "barrel")
_TEST_ONLY_PLACES = ("beside the garden wall", "in the parking lot")


def make_sentences(counts: Mapping[str, int], rng: np.random.Generator) -> dict[str, list[str]]:
    """Make sentences for each split, none of them twice in all.

    Args:
        counts: How many for each split; the one called `test` gets words that no other has.
        rng: Where the choices come from.
    """
    taken: set[str] = set()
    sentences: dict[str, list[str]] = {}
    for split, count in counts.items():
        sentences[split] = []
        while len(sentences[split]) < count:
            sentence = _make_sentence(rng, test=split == "test")
            if sentence not in taken:
                taken.add(sentence)
                sentences[split].append(sentence)
    return sentences


def _make_sentence(rng: np.random.Generator, *, test: bool) -> str:
    return str(rng.choice(_TEMPLATES)).format(
        number=rng.choice(_NUMBERS),
        colour=rng.choice(_COLOURS),
        day=rng.choice(_DAYS),
        thing=rng.choice(_THINGS + TEST_ONLY_THINGS if test else _THINGS),
        place=rng.choice(_PLACES + _TEST_ONLY_PLACES if test else _PLACES),
    )
