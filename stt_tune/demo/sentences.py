"""Warehouse orders: the sentences of the embedded speech."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

_TEMPLATES = (
    "move the {colour} {thing} {place}",
    "there are {number} {colour} {thing}s {place}",
    "take {number} {thing}s and leave {place}",
    "do not open the {thing} before {day}",
    "we need {number} more {thing}s on {day}",
    "the {colour} {thing} {place} is broken",
    "someone left the {thing} {place}",
    "please check the {thing} on {day}",
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
_PLACES = ("on the left", "in the kitchen", "at the gate", "near the dock", "in the cold room", "under the stairs")
# What was learned must carry over to words never trained on. Dev has such words, too, and others:
# without them it would choose a configuration that learns the training words by heart.
UNSEEN_THINGS = {
    "train": (),
    "dev": ("barrel", "candle", "garment", "pillow"),
    "test": ("mirror", "blanket", "hammer", "statue"),
}
_UNSEEN_PLACES = {"train": (), "dev": ("by the river",), "test": ("behind the wall",)}


def make_sentences(counts: Mapping[str, int], rng: np.random.Generator) -> dict[str, list[str]]:
    """Make sentences for each split (`train`, `dev`, `test`), none of them twice in all.

    Args:
        counts: How many for each split.
        rng: Where the choices come from.
    """
    taken: set[str] = set()
    sentences: dict[str, list[str]] = {}
    for split, count in counts.items():
        sentences[split] = []
        while len(sentences[split]) < count:
            sentence = _make_sentence(rng, split)
            if sentence not in taken:
                taken.add(sentence)
                sentences[split].append(sentence)
    return sentences


def _make_sentence(rng: np.random.Generator, split: str) -> str:
    return str(rng.choice(_TEMPLATES)).format(
        number=rng.choice(_NUMBERS),
        colour=rng.choice(_COLOURS),
        day=rng.choice(_DAYS),
        thing=rng.choice(_THINGS + UNSEEN_THINGS[split]),
        place=rng.choice(_PLACES + _UNSEEN_PLACES[split]),
    )
