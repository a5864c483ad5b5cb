"""What a trial reports after each epoch."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class EpochReport:
    """What an epoch gave, measured on the dev split.

    Attributes:
        epoch: From 1.
        wer: Word error rate; NaN once training has diverged, as are the other rates.
        cer: Character error rate.
        substitutions: Wrong words per reference word.
        deletions: Missing words per reference word.
        insertions: Extra words per reference word.
        dev_loss: Mean cross-entropy a token.
        train_loss: The same over this epoch's batches.
        seconds: Since the trial's training began.
        micro_batch: Utterances in one pass through the network; fewer than `batch_size` where memory ran out.
        diverged: Whether a loss was NaN or infinite; such a report is the trial's last.
    """

    epoch: int
    wer: float
    cer: float
    substitutions: float
    deletions: float
    insertions: float
    dev_loss: float
    train_loss: float
    seconds: float
    micro_batch: int
    diverged: bool = False


METRICS = tuple(field.name for field in fields(EpochReport) if field.name not in ("epoch", "micro_batch", "diverged"))
"""Names of the metrics in a report; each of them can be a sweep's objective."""
