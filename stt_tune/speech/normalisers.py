"""Text normalisers: what counts as the same word when error rates are measured."""

from __future__ import annotations

import importlib.metadata
import unicodedata
from collections.abc import Callable

_DIGIT_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

Normalise = Callable[[str], str]

NORMALISERS = ("auto", "none", "basic", "english", "digits", "multilingual")
"""Names that `find_normaliser` takes.

- `auto`: `basic` for English, `multilingual` for every other language;
- `none`: the text as it is, words split at white space;
- `basic`: Whisper's own for any language: lower case, no punctuation; it strips the vowel signs of
  Indic scripts, and other marks that tell words apart;
- `english`: Whisper's own for English: spelling variants, contractions and numbers are unified
  (it joins spoken digits: "two one five" becomes "215");
- `digits`: `basic`, then each digit is spelled in English, for digit strings;
- `multilingual`: compatible characters unified (NFKC), lower case, no punctuation and no symbols;
  letters of every script keep their marks.
"""
# Raised whenever what our own ones do to a text changes.
_OWN_VERSION = "1"
_WHISPERS_OWN = ("basic", "english", "digits")


def find_normaliser(name: str, language: str) -> str:
    """The normaliser that `name` means for a language (Whisper's code): `auto` is resolved.

    >>> find_normaliser("auto", "en"), find_normaliser("auto", "hi"), find_normaliser("none", "hi")
    ('basic', 'multilingual', 'none')

    Models of one language ignore what they are given, so that `English` comes as far as this, too.
    """
    if name != "auto":
        return name
    return "basic" if language.casefold() in ("en", "english") else "multilingual"


def describe_normaliser(name: str) -> str:
    """Name and version, as results record them: rates are comparable where they are the same."""
    version = f"{name}/{_OWN_VERSION}"
    if name in _WHISPERS_OWN:
        version += f" whisper-normalizer/{importlib.metadata.version('whisper-normalizer')}"
    return version


def load_normaliser(name: str) -> Normalise:
    """Give the function of that name, which is not `auto`.

    Raises:
        ValueError: `name` is not one of `NORMALISERS`.

    Source: Radford et al. 2022, "Robust Speech Recognition via Large-Scale Weak Supervision",
        appendix C, in the PyPI package whisper-normalizer.

    >>> load_normaliser("digits")("7, 85.")
    'seven eight five'
    >>> load_normaliser("multilingual")("Straße, हिन्दी!")
    'strasse हिन्दी'
    """
    match name:
        case "none":
            return _collapse
        case "multilingual":
            return _unify
        case "basic":
            return _basic()
        case "digits":
            basic = _basic()
            return lambda text: _spell_digits(basic(text))
        case "english":
            from whisper_normalizer.english import EnglishTextNormalizer

            english = EnglishTextNormalizer()
            return lambda text: _collapse(english(text))
    raise ValueError(f"normaliser must be one of {', '.join(NORMALISERS)}, found {name!r}.")


def _basic() -> Normalise:
    from whisper_normalizer.basic import BasicTextNormalizer

    basic = BasicTextNormalizer()
    return lambda text: _collapse(basic(text))


def _collapse(text: str) -> str:
    return " ".join(text.split())


def _unify(text: str) -> str:
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return _collapse("".join(_keep(character) for character in folded))


def _keep(character: str) -> str:
    """The character if it is part of a word, nothing for what is not seen, else a space."""
    category = unicodedata.category(character)
    if category == "Cf":
        return ""
    return character if category[0] in "LMN" else " "


def _spell_digits(text: str) -> str:
    spelled = (f" {_DIGIT_WORDS[int(c)]} " if c.isascii() and c.isdigit() else c for c in text)
    return _collapse("".join(spelled))
