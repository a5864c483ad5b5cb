"""Lay what was heard beside what was said, word by word."""

from __future__ import annotations

from rapidfuzz.distance import Levenshtein

from stt_tune.results.report.blocks import Piece, plain


def align(reference: str, hypothesis: str) -> tuple[tuple[Piece, ...], tuple[Piece, ...], str]:
    """Mark the words that differ in both, and say in words how.

    Returns:
        Pieces of the reference, of the hypothesis, and the differences as a text.

    >>> align("move the door", "move a the floor")[2]
    'extra: a; door → floor'
    """
    said, heard = plain(reference).split(), plain(hypothesis).split()
    left, right, told = [], [], []
    for step in Levenshtein.opcodes(said, heard):
        before = " ".join(said[step.src_start : step.src_end])
        after = " ".join(heard[step.dest_start : step.dest_end])
        if step.tag == "equal":
            left.append(Piece(before))
            right.append(Piece(after))
        elif step.tag == "replace":
            left.append(Piece(before, "substituted"))
            right.append(Piece(after, "substituted"))
            told.append(f"{before} → {after}")
        elif step.tag == "delete":
            left.append(Piece(before, "missing"))
            told.append(f"missing: {before}")
        else:
            right.append(Piece(after, "extra"))
            told.append(f"extra: {after}")
    return tuple(left), tuple(right), "; ".join(told)
