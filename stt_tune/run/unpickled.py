"""Keep Ray from pickling what it never reads."""

from __future__ import annotations

from typing import Any


class Unpickled:
    """A callback of which nothing is pickled.

    Ray snapshots its callbacks, with whatever they hold; the snapshot is never read: a sweep resumes from
    its trial table.
    """

    def __getstate__(self) -> dict[str, Any]:
        """Leave nothing."""
        return {}
