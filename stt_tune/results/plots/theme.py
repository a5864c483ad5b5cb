"""How pictures look: colours that can be told apart on light and on dark ground, no ground of their own."""

from __future__ import annotations

import html
import math
import unicodedata
from collections.abc import Iterable
from numbers import Integral
from typing import Any

import plotly.graph_objects as go

# Mid tones: each has a contrast of at least 3 to 1 with white and with near black.
BLUE, GREY, RED, ORANGE, GREEN, PURPLE = "#3b82c4", "#868c96", "#d9534f", "#c77c1a", "#2e9e6b", "#9a6dd0"
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, RED, GREY)
STATUS_COLOURS = {
    "completed": BLUE,
    "stopped_early": GREY,
    "diverged": RED,
    "failed": PURPLE,
    "interrupted": ORANGE,
    "running": ORANGE,
}
STATUS_SYMBOLS = {
    "completed": "circle",
    "stopped_early": "circle-open",
    "diverged": "x",
    "failed": "x",
    "interrupted": "triangle-up-open",
    "running": "triangle-up-open",
}
SCALE = ((0.0, BLUE), (0.35, GREEN), (0.7, ORANGE), (1.0, RED))  # the best is blue
_DECADE = 10.0
_LONGEST_NAME = 24
_LONGEST_WHOLE = 1e7  # a float beyond hardly counts anything


def build_template(*, dark: bool = False) -> dict[str, Any]:
    """Plotly's layout template of all pictures, for a light ground or a dark one."""
    ink, line = ("#e6e8eb", "#3a4049") if dark else ("#1d2129", "#d5d9e0")
    axis = {"gridcolor": line, "linecolor": line, "zerolinecolor": line, "automargin": True, "title": {"standoff": 8}}
    return {
        "layout": {
            "font": {"color": ink, "family": "system-ui, sans-serif", "size": 13},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "colorway": list(COLOURS),
            "xaxis": axis,
            "yaxis": axis,
            "hoverlabel": {"bgcolor": "#22262e" if dark else "#ffffff", "font": {"color": ink}},
            "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
            "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
        }
    }


def new_figure(x: str, y: str, height: int = 380) -> Any:
    """An empty figure.

    Args:
        x: Title of the horizontal axis.
        y: Title of the vertical one.
        height: In pixels; the width is that of the place where it is shown.
    """
    figure = go.Figure()
    figure.update_layout(template=build_template(), height=height)
    figure.update_xaxes(title_text=escape(x))
    figure.update_yaxes(title_text=escape(y))
    return figure


def escape(text: Any) -> str:
    """Make a text safe in a figure: Plotly reads tags in whatever it writes."""
    return html.escape(make_visible(str(text)), quote=True)


def make_visible(text: str) -> str:
    r"""Write characters that control what stands around them, such as its direction, as their code.

    >>> make_visible("one\u202etwo\x00")
    'one⟨U+202E⟩two⟨U+0000⟩'
    """
    return "".join(
        f"⟨U+{ord(each):04X}⟩" if unicodedata.category(each) in ("Cc", "Cf", "Cs") and each not in "\n\t" else each
        for each in text
    )


def shorten(text: str, length: int = _LONGEST_NAME) -> str:
    """Cut a name in its middle to what an axis has room for."""
    half = length // 2
    return text if len(text) <= length else f"{text[:half]}…{text[-half:]}"


def name_ticks(names: Iterable[Any]) -> dict[str, Any]:
    """An axis of names, which are themselves apart even where what is shown of them is not."""
    known = [str(each) for each in names]
    return {
        "type": "category",
        "tickmode": "array",
        "tickvals": [escape(each) for each in known],
        "ticktext": [escape(shorten(each)) for each in known],
    }


def is_wide(values: Iterable[Any]) -> bool:
    """Whether numbers are all above 0 and span over a decade, so that they belong on a logarithmic axis."""
    numbers = list(values)
    if not numbers or not all(_is_number(each) for each in numbers):
        return False
    finite = [each for each in numbers if math.isfinite(each)]
    return bool(finite) and min(finite) > 0 and max(finite) / min(finite) > _DECADE


def is_numeric(values: Iterable[Any]) -> bool:
    """Whether all of them are numbers, and there are some."""
    numbers = list(values)
    return bool(numbers) and all(_is_number(each) for each in numbers)


def format_value(value: Any) -> str:
    """A value in few digits; whole numbers keep all of theirs.

    >>> format_value(0.0376569), format_value(4.0617e-05), format_value(True), format_value(16.0), format_value(1237)
    ('0.0377', '4.06e-05', 'True', '16', '1237')
    """
    if not _is_number(value) or isinstance(value, Integral):
        return str(value)
    is_whole = abs(value) < _LONGEST_WHOLE and value == int(value)
    return f"{value:.0f}" if is_whole else f"{value:.3g}"


def _is_number(value: Any) -> bool:
    return hasattr(value, "__float__") and not isinstance(value, str) and type(value).__name__ not in ("bool", "bool_")
