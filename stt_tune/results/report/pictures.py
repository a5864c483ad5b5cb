"""The report's figures as single files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stt_tune.errors import SettingsError
from stt_tune.results.report.blocks import Figure

_WIDTH, _SCALE = 900, 2


def save_pictures(figures: Sequence[Figure], folder: Path) -> list[Path]:
    """Write each figure as a PNG, on white ground.

    Args:
        figures: What is drawn.
        folder: Where; files are called by the figures' names.

    Returns:
        The files.

    Raises:
        SettingsError: kaleido, or the Chrome that it draws with, is not installed or does not start.
        OSError: A file cannot be written.
    """
    try:
        import kaleido
        from choreographer.errors import BrowserFailedError, ChromeNotFoundError
    except ImportError as error:
        raise SettingsError(
            "--png: needs kaleido to draw, and it is not installed. Install it: pip install 'stt-tune[png]'"
        ) from error
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{name}.png" for name in _name_files(figures)]
    drawings = [{**_describe(figure), "path": file} for figure, file in zip(figures, files, strict=True)]
    try:
        # without MathJax, which it would fetch
        kaleido.write_fig_from_object_sync(drawings, cancel_on_error=True, kopts={"mathjax": False})
    except (ChromeNotFoundError, BrowserFailedError) as error:
        raise SettingsError(
            f"--png: needs a Chrome or Chromium that starts, and finds none ({type(error).__name__}). Install one, or "
            "fetch kaleido's own: kaleido_get_chrome"
        ) from error
    return files


def _name_files(figures: Sequence[Figure]) -> list[str]:
    """Names that every file system takes, each once."""
    names: list[str] = []
    for figure in figures:
        name = re.sub(r"[^a-z0-9_-]+", "_", figure.name.lower())[:60]
        names.append(name if name not in names else f"{name}_{len(names)}")
    return names


def _describe(figure: Figure) -> dict[str, Any]:
    plot = figure.plot.to_dict()
    plot["layout"]["paper_bgcolor"] = "white"
    size = {"width": max(_WIDTH, figure.least_width), "height": plot["layout"]["height"], "scale": _SCALE}
    return {"fig": plot, "opts": {"format": "png", **size}}
