"""What a sweep's values can be made of, so that trial tables, optimal configs and W&B hold them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from types import NoneType
from typing import Any

import numpy as np

PLAIN = "text, numbers of at most 64 bits, true, false and null, in lists and mappings"


def find_odd(value: Any, *, for_json: bool = False) -> Iterator[str]:
    """Say what in a value, or in the names of a mapping, is neither text, number, true, false nor null.

    Whole numbers have at most 64 bits: more fit no column. What only derives from these is odd, too: YAML writes
    none of it. With `for_json`, so are numbers that are not finite, and names that are no text.

    >>> list(find_odd({"a": [1, None, "b"], "c": 2**64}))
    ['the int 18446744073709551616']
    """
    if isinstance(value, Mapping):
        if for_json:
            yield from (f"the name {key!r}" for key in value if not isinstance(key, str))
        for each in (*value, *value.values()):
            yield from find_odd(each, for_json=for_json)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from find_odd(each, for_json=for_json)
    elif type(value) not in (str, int, float, bool, NoneType) or (isinstance(value, int) and not fits(value)):
        yield f"the {type(value).__name__} {value}"
    elif for_json and isinstance(value, float) and not math.isfinite(value):
        yield f"the number {value}"


def fits(whole: int) -> bool:
    """Whether a whole number has at most 64 bits, its sign among them."""
    limits = np.iinfo(np.int64)
    return bool(limits.min <= whole <= limits.max)


def find_loop(value: Any, where: str, above: tuple[Any, ...] = ()) -> str | None:
    """Say where something lies inside of itself, as a YAML alias lets it; None: nowhere.

    >>> spec = {}
    >>> spec["x"] = [spec]
    >>> find_loop(spec, "parameters")
    'parameters.x'
    """
    if any(value is each for each in above):
        return where
    inner: Iterable[tuple[str, Any]] = ()
    if isinstance(value, Mapping):
        inner = ((f"{where}.{key}", each) for key, each in value.items())
    elif isinstance(value, list | tuple):
        inner = ((where, each) for each in value)
    for place, each in inner:
        loop = find_loop(each, place, (*above, value))
        if loop is not None:
            return loop
    return None
