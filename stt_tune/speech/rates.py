"""Word and character error rates, counted per utterance by jiwer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import jiwer

from stt_tune.speech.normalisers import Normalise


@dataclass(frozen=True)
class UtteranceErrors:
    """What was wrong in one utterance, after normalisation.

    Attributes:
        id: The utterance's id in the manifest.
        reference: The correct transcript.
        hypothesis: What the model heard.
        substitutions: Wrong words.
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
    deletions: int
    insertions: int
    words: int
    character_errors: int
    characters: int

    @property
    def errors(self) -> int:
        """Substitutions, deletions and insertions together."""
        return self.substitutions + self.deletions + self.insertions


@dataclass(frozen=True)
class ErrorRates:
    """Rates over a whole split: fractions of its reference words (`cer`: characters).

    A WER above 1 is possible: insertions are not bounded by the reference.
    """

    wer: float
    cer: float
    substitutions: float
    deletions: float
    insertions: float


def count_errors(
    ids: Sequence[str], references: Sequence[str], hypotheses: Sequence[str], normalise: Normalise
) -> list[UtteranceErrors]:
    """Align each hypothesis with its reference and count what is wrong.

    Args:
        ids: One for each utterance.
        references: The correct transcripts; after `normalise` none may be empty.
        hypotheses: What the model heard.
        normalise: Applied to both sides.
    """
    correct = [normalise(text) for text in references]
    heard = [normalise(text) for text in hypotheses]
    words = jiwer.process_words(correct, heard)
    characters = jiwer.process_characters(correct, heard)
    return [
        UtteranceErrors(
            id=ids[i],
            reference=correct[i],
            hypothesis=heard[i],
            substitutions=_count(words.alignments[i], "substitute"),
            deletions=_count(words.alignments[i], "delete"),
            insertions=_count(words.alignments[i], "insert"),
            words=len(words.references[i]),
            character_errors=sum(_count(characters.alignments[i], kind) for kind in ("substitute", "delete", "insert")),
            characters=len(characters.references[i]),
        )
        for i in range(len(ids))
    ]


def _count(alignment: Sequence[jiwer.AlignmentChunk], kind: str) -> int:
    return sum(
        max(chunk.ref_end_idx - chunk.ref_start_idx, chunk.hyp_end_idx - chunk.hyp_start_idx)
        for chunk in alignment
        if chunk.type == kind
    )


def summarise(utterances: Sequence[UtteranceErrors]) -> ErrorRates:
    """Pool the counts of `utterances`, of which there is at least one, into rates."""
    words = sum(utterance.words for utterance in utterances)
    characters = sum(utterance.characters for utterance in utterances)
    return ErrorRates(
        wer=sum(utterance.errors for utterance in utterances) / words,
        cer=sum(utterance.character_errors for utterance in utterances) / characters,
        substitutions=sum(utterance.substitutions for utterance in utterances) / words,
        deletions=sum(utterance.deletions for utterance in utterances) / words,
        insertions=sum(utterance.insertions for utterance in utterances) / words,
    )
