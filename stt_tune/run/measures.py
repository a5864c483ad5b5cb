"""What was heard, as the arrays that statistics take."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stt_tune.results.confirmation import choose_blocks
from stt_tune.speech.example import Example
from stt_tune.speech.rates import UtteranceErrors


def find_blocks(examples: Sequence[Example]) -> tuple[np.ndarray, str]:
    """Which utterances must be resampled together, and what blocks are; see `choose_blocks`."""
    return choose_blocks([each.speaker for each in examples], [each.session for each in examples])


def tabulate_errors(heard: Sequence[Sequence[UtteranceErrors]]) -> np.ndarray:
    """Wrong, missing and extra words, [trainings, utterances]."""
    return np.array([[each.errors for each in utterances] for utterances in heard], float)


def count_words(heard: Sequence[UtteranceErrors]) -> np.ndarray:
    """Words of the references, [utterances]."""
    return np.array([each.words for each in heard])
