"""What a sweep has cost so far, over all its starts."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from stt_tune.errors import SettingsError


@dataclass
class Spent:
    """What stands in `spent.json`.

    Attributes:
        seconds: While trials ran, or were about to.
        gpu_seconds: Of the trials, times the GPUs that each had.
        trials: How many ended in that time.
    """

    seconds: float = 0.0
    gpu_seconds: float = 0.0
    trials: int = 0

    @classmethod
    def read(cls, path: Path) -> Spent:
        """Read the file; nothing is spent where there is none.

        Raises:
            SettingsError: It is damaged.
        """
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            # files of 0.1.0 do not count the trials
            return cls(float(document["seconds"]), float(document["gpu_seconds"]), int(document.get("trials", 0)))
        except FileNotFoundError:
            return cls()
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SettingsError(f"{path}: must say what the sweep has spent, and cannot be read ({error}).") from error

    def to_dict(self) -> dict[str, float]:
        """As it stands in the file."""
        return asdict(self)

    def describe(self) -> str:
        """In a few words.

        >>> Spent(5400, 43200).describe(), Spent(40).describe()
        ('1.5 h spent (12.0 GPU hours)', '40 s spent')
        """
        gpu = f" ({self.gpu_seconds / 3600:.1f} GPU hours)" if self.gpu_seconds else ""
        return f"{describe_roughly(self.seconds)} spent{gpu}"


def describe_roughly(seconds: float) -> str:
    """A duration of which only the order counts.

    >>> describe_roughly(40.2), describe_roughly(600), describe_roughly(5400)
    ('40 s', '10 min', '1.5 h')
    """
    if seconds <= 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds <= 5399 else f"{seconds / 3600:.1f} h"
