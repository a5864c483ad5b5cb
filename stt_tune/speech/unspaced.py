"""Tell transcripts in which words cannot be counted, as no spaces stand between them."""

from __future__ import annotations

import re
from collections.abc import Sequence

# Thai and Lao, Myanmar, Khmer, kana, ideographs.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003347f]"
)
_LONG = 6  # characters on average; words of these scripts are shorter where somebody has set spaces between them
_ONE_WORD = 1.5  # words an utterance, below which most have one


def warn_of_unspaced(texts: Sequence[str]) -> str | None:
    """Say that a WER takes whole sentences for words, where transcripts are written so; None where not.

    Args:
        texts: Normalised transcripts.

    >>> warn_of_unspaced(["今天天气很好我们去公园玩"]) is None, warn_of_unspaced(["今天 天气 很 好"]) is None
    (False, True)
    """
    words = [word for text in texts for word in text.split()]
    characters = "".join(words)
    if 2 * len(_UNSPACED.findall(characters)) <= len(characters):
        return None
    if len(characters) <= _LONG * len(words) and len(words) >= _ONE_WORD * len(texts):
        return None
    return (
        "transcripts have no spaces between words: WER takes a sentence, or what is between two spaces, for one word, "
        "also in the verdict. Let the sweep minimise characters' errors (metric: name: cer, goal: minimize)."
    )
