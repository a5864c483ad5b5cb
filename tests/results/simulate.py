"""Drawn error cases: systems that share most of their errors, trainings that differ by more than their utterances."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Speech:
    """Utterances with words that are hard or easy, for every system alike.

    Attributes:
        words: Of each utterance.
        hardness: For each word, how likely a system gets it wrong.
        owner: For each word, the utterance that it is in.
    """

    words: np.ndarray
    hardness: np.ndarray
    owner: np.ndarray

    @classmethod
    def draw(cls, utterances: int, rng: np.random.Generator, wer: float = 0.2) -> Speech:
        """Most words are nearly always heard right, some nearly always wrong."""
        words = rng.integers(4, 13, utterances)
        hardness = rng.beta(0.3, 0.3 * (1 - wer) / wer, words.sum())
        return cls(words, hardness, np.repeat(np.arange(utterances), words))

    def train(self, trainings: int, sd: float, rng: np.random.Generator, factor: float = 1.0) -> np.ndarray:
        """Errors of trainings whose error rate differs by `sd`, relatively, [trainings, utterances]."""
        rates = np.exp(rng.normal(0, sd, trainings)) * factor
        wrong = rng.random((trainings, len(self.hardness))) < np.minimum(rates[:, None] * self.hardness, 1)
        return np.stack([np.bincount(self.owner, weights=each, minlength=len(self.words)) for each in wrong])
