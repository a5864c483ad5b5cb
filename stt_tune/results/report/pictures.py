"""The report's figures as single files."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from pathlib import Path

from stt_tune.errors import SettingsError
from stt_tune.files import write_atomically
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
        SettingsError: kaleido, or the Chrome that it draws with, is not installed.
        OSError: A file cannot be written.
    """
    try:
        import kaleido
        from choreographer.errors import ChromeNotFoundError
    except ImportError as error:
        raise SettingsError(
            "--png: needs kaleido to draw, and it is not installed. Install it: pip install 'stt-tune[png]'"
        ) from error
    names: list[str] = []
    for figure in figures:
        name = re.sub(r"[^a-zA-Z0-9_-]+", "_", figure.name)
        names.append(name if name not in names else f"{name}_{len(names)}")
    try:
        files = []
        for name, figure in zip(names, figures, strict=True):
            plot = figure.plot.to_dict()
            size = {"width": max(_WIDTH, figure.least_width), "height": plot["layout"]["height"], "scale": _SCALE}
            plot["layout"]["paper_bgcolor"] = "white"
            image = kaleido.calc_fig_sync(plot, opts={"format": "png", **size})
            path = folder / f"{name}.png"
            write_atomically(path, functools.partial(_write, image))
            files.append(path)
    except ChromeNotFoundError as error:
        raise SettingsError(
            "--png: needs Chrome or Chromium to draw, and finds none. Install one, or let kaleido: kaleido_get_chrome"
        ) from error
    return files


def _write(image: bytes, file: Path) -> None:
    file.write_bytes(image)
