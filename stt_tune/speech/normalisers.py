"""Text normalisers: what counts as the same word when error rates are measured."""

from __future__ import annotations

from collections.abc import Callable

_DIGIT_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

Normalise = Callable[[str], str]

NORMALISERS = ("none", "basic", "english", "digits")
"""Names that `load_normaliser` takes.

- `none`: the text as it is, words split at white space;
- `basic`: Whisper's own for any language: lower case, no punctuation;
- `english`: Whisper's own for English: spelling variants, contractions and numbers are unified
  (it joins spoken digits: "two one five" becomes "215");
- `digits`: `basic`, then each digit is spelled in English, for digit strings.
"""


def load_normaliser(name: str) -> Normalise:
    """Give the function of that name.

    Raises:
        ValueError: `name` is not one of `NORMALISERS`.

    Source: Radford et al. 2022, "Robust Speech Recognition via Large-Scale Weak Supervision",
        appendix C, in the PyPI package whisper-normalizer.

    >>> load_normaliser("digits")("7, 85.")
    'seven eight five'
    """
    if name not in NORMALISERS:
        raise ValueError(f"normaliser must be one of {', '.join(NORMALISERS)}, found {name!r}.")
    if name == "none":
        return _collapse
    if name == "english":
        from whisper_normalizer.english import EnglishTextNormalizer

        return _then_collapse(EnglishTextNormalizer())
    from whisper_normalizer.basic import BasicTextNormalizer

    basic = _then_collapse(BasicTextNormalizer())
    return basic if name == "basic" else lambda text: _spell_digits(basic(text))


def _collapse(text: str) -> str:
    return " ".join(text.split())


def _then_collapse(normalise: Normalise) -> Normalise:
    return lambda text: _collapse(normalise(text))


def _spell_digits(text: str) -> str:
    spelled = (f" {_DIGIT_WORDS[int(c)]} " if c.isascii() and c.isdigit() else c for c in text)
    return _collapse("".join(spelled))
