"""Whether a wrong word sounds like the right one: then it was misheard, not misunderstood."""

from __future__ import annotations

import functools

import jellyfish
from rapidfuzz.distance import Levenshtein

# On 84 pairs that sound alike and 68 that do not (tests/speech/sounds.py), 95 and 94 % fall on
# their side of 0.5; nothing between 0.45 and 0.6 is clearly better.
ALIKE = 0.5


@functools.cache
def sounds_alike(word: str, other: str) -> bool:
    """Whether two words sound alike: the mean of how alike they sound and are spelled is at least `ALIKE`.

    Sound is Metaphone's, which is made for English; words of which it makes nothing, such as those
    in other scripts, are compared by their spelling alone.

    Source: Philips 1990, "Hanging on the Metaphone", in the PyPI package jellyfish.

    >>> sounds_alike("weather", "whether"), sounds_alike("seven", "four")
    (True, False)
    """
    spelled = Levenshtein.normalized_similarity(word, other)
    sound, other_sound = jellyfish.metaphone(word), jellyfish.metaphone(other)
    if not (sound and other_sound):
        return spelled >= ALIKE
    return (spelled + Levenshtein.normalized_similarity(sound, other_sound)) / 2 >= ALIKE
