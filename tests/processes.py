"""Find and kill real processes of a real Ray."""

from __future__ import annotations

import os
import signal
import subprocess


def find_trials(parent: int) -> list[int]:
    """Processes of trials on the Ray node that the process `parent` has started."""
    raylets = _pgrep("-P", parent, "-x", "raylet")
    return [worker for raylet in raylets for worker in _pgrep("-P", raylet, "-f", "^ray::ImplicitFunc")]


def kill_trials(parent: int) -> None:
    """Kill all of them."""
    for process in find_trials(parent):
        os.kill(process, signal.SIGKILL)


def _pgrep(*arguments: object) -> list[int]:
    found = subprocess.run(["pgrep", *map(str, arguments)], capture_output=True, text=True)
    return [int(line) for line in found.stdout.split()]
