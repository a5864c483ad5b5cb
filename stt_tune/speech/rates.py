"""Word, character and sentence error rates, from one alignment of each utterance by jiwer."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import jiwer
from rapidfuzz.distance import Levenshtein

from stt_tune.speech.normalisers import Normalise
from stt_tune.speech.sounds import sounds_alike

KINDS = ("substitution", "deletion", "insertion", "pronunciation")
"""Kinds of error: a wrong word, a missing one, an extra one, and a wrong one that sounds like the right one."""


@dataclass(frozen=True)
class UtteranceErrors:
    """What was wrong in one utterance, after normalisation.

    Attributes:
        id: The utterance's id in the manifest.
        reference: The correct transcript; may be empty, and then everything heard is an insertion.
        hypothesis: What the model heard; if it is empty, every word of the reference is a deletion.
        substitutions: Wrong words, those that sound alike among them.
        pronunciations: Wrong words that sound like the right ones.
        deletions: Missing words.
        insertions: Extra words.
        words: Words of the reference.
        character_errors: Substituted, deleted and inserted characters.
        characters: Characters of the reference.
    """

    id: str
    reference: str
    hypothesis: str
    substitutions: int
    pronunciations: int
    deletions: int
    insertions: int
    words: int
    character_errors: int
    characters: int

    @property
    def errors(self) -> int:
        """Substitutions, deletions and insertions together."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def kind(self) -> str | None:
        """The kind of most of its errors, one of `KINDS`, the first of them where two are equal; None without any."""
        wrong = self.substitutions - self.pronunciations
        counts = dict(zip(KINDS, (wrong, self.deletions, self.insertions, self.pronunciations), strict=True))
        return max(counts, key=lambda kind: counts[kind]) if self.errors else None


@dataclass(frozen=True)
class ErrorRates:
    """Rates over a list of utterances: fractions of its reference words (`cer`: characters; `ser`: utterances).

    A WER above 1 is possible: insertions are not bounded by the reference. Where there are no
    words in the references, the rates of words are 0 without errors and infinite with.

    Attributes:
        wer: Wrong, missing and extra words.
        cer: The same of characters, spaces included.
        ser: Utterances with any error.
        substitutions: Wrong words.
        pronunciations: Wrong words that sound like the right ones.
        deletions: Missing words.
        insertions: Extra words.
    """

    wer: float
    cer: float
    ser: float
    substitutions: float
    pronunciations: float
    deletions: float
    insertions: float


def count_errors(
    ids: Sequence[str], references: Sequence[str], hypotheses: Sequence[str], normalise: Normalise
) -> list[UtteranceErrors]:
    """Align each hypothesis with its reference and count what is wrong.

    Args:
        ids: One for each utterance.
        references: The correct transcripts.
        hypotheses: What the model heard.
        normalise: Applied to both sides.
    """
    return [
        _count_errors(name, normalise(reference), normalise(hypothesis))
        for name, reference, hypothesis in zip(ids, references, hypotheses, strict=True)
    ]


def _count_errors(name: str, reference: str, hypothesis: str) -> UtteranceErrors:
    if not reference:  # jiwer aligns with something only
        return UtteranceErrors(name, "", hypothesis, 0, 0, 0, len(hypothesis.split()), 0, len(hypothesis), 0)
    words = jiwer.process_words(reference, hypothesis)
    return UtteranceErrors(
        id=name,
        reference=reference,
        hypothesis=hypothesis,
        substitutions=words.substitutions,
        pronunciations=sum(sounds_alike(right, wrong) for right, wrong in _substituted(words)),
        deletions=words.deletions,
        insertions=words.insertions,
        words=len(words.references[0]),
        character_errors=Levenshtein.distance(reference, hypothesis),  # jiwer aligns them, too, in five times the time
        characters=len(reference),
    )


def _substituted(words: jiwer.WordOutput) -> Iterator[tuple[str, str]]:
    """Pairs of a right word and the wrong one in its place."""
    for chunk in words.alignments[0]:
        if chunk.type == "substitute":
            yield from zip(
                words.references[0][chunk.ref_start_idx : chunk.ref_end_idx],
                words.hypotheses[0][chunk.hyp_start_idx : chunk.hyp_end_idx],
                strict=True,
            )


def summarise(utterances: Sequence[UtteranceErrors]) -> ErrorRates:
    """Pool the counts of `utterances`, of which there is at least one, into rates."""
    words = sum(utterance.words for utterance in utterances)
    characters = sum(utterance.characters for utterance in utterances)
    return ErrorRates(
        wer=_rate(sum(utterance.errors for utterance in utterances), words),
        cer=_rate(sum(utterance.character_errors for utterance in utterances), characters),
        ser=sum(utterance.errors > 0 for utterance in utterances) / len(utterances),
        substitutions=_rate(sum(utterance.substitutions for utterance in utterances), words),
        pronunciations=_rate(sum(utterance.pronunciations for utterance in utterances), words),
        deletions=_rate(sum(utterance.deletions for utterance in utterances), words),
        insertions=_rate(sum(utterance.insertions for utterance in utterances), words),
    )


def _rate(errors: int, of: int) -> float:
    if of:
        return errors / of
    return math.inf if errors else 0.0
