"""What counts as a number in a sweep."""

from __future__ import annotations

import enum
import re
import sys
from collections.abc import Mapping
from typing import Any, TypeGuard

import numpy as np

# YAML 1.1 reads 1e-5 and 1.5e5 as strings: it wants a dot and a sign in a number with an exponent.
_EXPONENT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")


def read_numerals(value: Any) -> Any:
    """Give a copy in which every text that spells a number with an exponent is that number.

    numpy's numbers and arrays, and members of enums that are text or numbers, become Python's, as they could not be
    written down otherwise.

    >>> read_numerals({"min": "1e-5", "values": ["adamw", "3E2"]})
    {'min': 1e-05, 'values': ['adamw', 300.0]}
    """
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, enum.Enum) and isinstance(value, str | int | float):
        return value.value
    if isinstance(value, str):
        return float(value) if _EXPONENT.fullmatch(value) else value
    if isinstance(value, Mapping):
        return {key: read_numerals(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [read_numerals(each) for each in value]
    return value


def is_number(value: Any) -> bool:
    """Whether the value is a finite number that a float can hold; True and False are none."""
    is_real = isinstance(value, int | float) and not isinstance(value, bool)
    return is_real and -sys.float_info.max <= value <= sys.float_info.max


def as_whole(value: Any) -> Any:
    """Give a whole number that is written as 2.0, or is numpy's, as Python's int; anything else as it is.

    >>> as_whole(2.0), as_whole(np.int64(2)), as_whole(1.5), as_whole("2")
    (2, 2, 1.5, '2')
    """
    plain = value.item() if isinstance(value, np.generic) else value
    return int(plain) if is_number(plain) and float(plain).is_integer() else value


def is_count(value: Any) -> TypeGuard[int | float]:
    """Whether the value is a whole number of at least 1, whether written as one or as 1.0."""
    return is_number(value) and value >= 1 and float(value).is_integer()
