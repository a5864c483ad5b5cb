"""Follow the trial table of a sweep that runs in another process or thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from stt_tune.errors import SettingsError
from stt_tune.results.trials import TrialTable

_PATIENCE_S = 120


def wait_for_table(folder: Path, holds: Callable[[TrialTable], bool]) -> TrialTable:
    """Wait until the table on the disk is so, and give it.

    Args:
        folder: The run's; may be yet to come.
        holds: What is waited for.
    """
    end = time.monotonic() + _PATIENCE_S
    while time.monotonic() < end:
        try:
            table = TrialTable.load(folder / "trials.parquet")
        except SettingsError:
            time.sleep(0.05)
            continue
        if holds(table):
            return table
        time.sleep(0.05)
    pytest.fail(f"{folder}: it did not come to that within {_PATIENCE_S} s")
