"""Which seeds there are."""

from __future__ import annotations

from stt_tune.errors import SettingsError

MOST_SEED = 4_000_000_000
"""Libraries take seeds below 2**32; trainings anew and processes that train together add to it."""


def is_seed(seed: object) -> bool:
    """Whether everything that is drawn can be drawn with it."""
    return isinstance(seed, int) and not isinstance(seed, bool) and 0 <= seed <= MOST_SEED


def check_seed(seed: int) -> int:
    """Give the seed back, if it is one.

    Raises:
        SettingsError: It is none.
    """
    if not is_seed(seed):
        raise SettingsError(f"--seed must be from 0 to {MOST_SEED}, found {seed}.")
    return seed
