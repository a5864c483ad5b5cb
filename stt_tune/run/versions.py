"""What decides, beside data and settings, what a run gives."""

from __future__ import annotations

import importlib.metadata
import platform

_VERSIONED = ("stt-tune", "ray", "torch", "transformers", "wandb", "jiwer", "datasets", "pyarrow", "numpy", "scipy")


def find_versions() -> dict[str, str]:
    """Versions of Python and of the libraries that decide what a run gives."""
    found = {"python": platform.python_version()}
    for name in _VERSIONED:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found
