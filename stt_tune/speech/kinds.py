"""The kind of error that the production system makes on an utterance."""

from __future__ import annotations

from stt_tune.speech.manifest import Utterance
from stt_tune.speech.normalisers import Normalise
from stt_tune.speech.rates import count_errors


def find_kind(utterance: Utterance, normalise: Normalise) -> str | None:
    """The manifest's word, or what the hypothesis tells; None without error, or without a hypothesis."""
    if utterance.error_type is not None or utterance.hypothesis is None:
        return utterance.error_type
    return count_errors([utterance.id], [utterance.text], [utterance.hypothesis], normalise)[0].kind
