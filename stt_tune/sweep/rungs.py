"""After which of its epochs a trial is compared with the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stt_tune.sweep.config import SweepConfig
from stt_tune.sweep.numerals import is_count
from stt_tune.sweep.observation import report_at

EPOCHS = "epochs"  # in a configuration: how long its run is


def find_rungs(
    sweep: SweepConfig, scheduler: str, default: Mapping[str, Any] | None, configuration: Mapping[str, Any]
) -> tuple[int, ...]:
    """The epochs at which a trial of that configuration meets the rungs, the first rung first; none: it never does.

    Args:
        sweep: The sweep.
        scheduler: One of `SCHEDULERS`.
        default: The configuration of the first trial, if there is one.
        configuration: The trial's.
    """
    longest = find_longest(sweep, default)
    planned = int(configuration[EPOCHS]) if is_count(configuration.get(EPOCHS)) else None
    bands = sorted(set(sweep.early_terminate.bands)) if sweep.early_terminate and scheduler != "none" else []
    if scheduler == "asha":
        bands = [epoch_of(band, planned, longest) for band in bands if longest is None or band < longest]
    return tuple(band for band in bands if planned is None or band < planned)


def epoch_of(band: int, planned: int | None, longest: int | None) -> int:
    """The epoch after which a run meets a rung of ASHA.

    Args:
        band: The rung, in epochs of the longest run.
        planned: Epochs of this run, where that is known.
        longest: Epochs of the longest run, where that is known.

    >>> epoch_of(3, planned=4, longest=12), epoch_of(3, planned=None, longest=12)
    (1, 3)
    """
    if planned is None or longest is None:
        return band
    share = band / longest
    return report_at(share, planned) if share <= 1 else band


def find_longest(sweep: SweepConfig, default: Mapping[str, Any] | None) -> int | None:
    """Epochs of the longest run that the sweep, or what it was narrowed from, can have."""
    sweep = sweep.origin
    possible = [
        *(sweep.parameters[EPOCHS].extremes() if EPOCHS in sweep.parameters else []),
        (default or {}).get(EPOCHS),
    ]
    return max((int(epochs) for epochs in possible if is_count(epochs)), default=None)
