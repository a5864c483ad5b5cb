"""What a trial reports after each epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any


@dataclass(frozen=True)
class EpochReport:
    """What an epoch gave, measured on the dev split; before the last epoch on a sample of it, if it is large.

    Attributes:
        epoch: From 1.
        wer: Word error rate; NaN once training has diverged, as are the other rates.
        cer: Character error rate.
        ser: Share of utterances with any error.
        substitutions: Wrong words per reference word.
        pronunciations: Wrong words that sound like the right ones, per reference word.
        deletions: Missing words per reference word.
        insertions: Extra words per reference word.
        wer_substitution: Word error rate over the cases that the production system gets wrong in this
            way; None where dev has none of them. So are the following.
        wer_deletion: The same of cases with missing words.
        wer_insertion: The same of cases with extra words.
        wer_pronunciation: The same of cases with words that sound alike.
        dev_loss: Mean cross-entropy a token.
        train_loss: The same over this epoch's batches.
        seconds: Since the trial's training began.
        micro_batch: Utterances in one pass through the network; fewer than `batch_size` where memory ran out.
        dev_utterances: How many of them were measured; 0 once training has diverged.
        utterances: The errors of every one of them, with the kind of each case.
        diverged: Whether a loss was NaN or infinite; such a report is the trial's last.
    """

    epoch: int
    wer: float
    cer: float
    ser: float
    substitutions: float
    pronunciations: float
    deletions: float
    insertions: float
    dev_loss: float
    train_loss: float
    seconds: float
    micro_batch: int
    dev_utterances: int
    wer_substitution: float | None = None
    wer_deletion: float | None = None
    wer_insertion: float | None = None
    wer_pronunciation: float | None = None
    utterances: Sequence[Mapping[str, Any]] = field(default=(), repr=False, compare=False)
    diverged: bool = False

    def to_dict(self) -> dict[str, Any]:
        """What is reported of it, by name, without what could not be measured."""
        values = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "utterances"}
        return {name: value for name, value in values.items() if value is not None}


_NO_METRICS = ("epoch", "micro_batch", "dev_utterances", "utterances", "diverged")
METRICS = tuple(each.name for each in fields(EpochReport) if each.name not in _NO_METRICS)
"""Names of the metrics in a report; each of them can be a sweep's objective."""
