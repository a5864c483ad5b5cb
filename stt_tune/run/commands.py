"""Commands of `stt-tune` that are told, so that they can be pasted into a shell as they stand."""

from __future__ import annotations

import shlex
from pathlib import Path


def command(verb: str, *arguments: str | Path) -> str:
    """Write a command.

    >>> command("resume", "/data/my runs/digits"), command("report", "s3://bucket/runs/digits")
    ("stt-tune resume '/data/my runs/digits'", 'stt-tune report s3://bucket/runs/digits')
    """
    return shlex.join(["stt-tune", verb, *map(str, arguments)])
