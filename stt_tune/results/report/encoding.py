"""Hyperparameters of whatever type as numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from stt_tune.results.plots.theme import is_numeric, is_wide


@dataclass(frozen=True)
class Encoding:
    """How values of one hyperparameter become numbers.

    Attributes:
        choices: What is no number, in order; None: it is one.
        is_log: Whether its logarithm counts.
    """

    choices: tuple[str, ...] | None
    is_log: bool = False

    @classmethod
    def of(cls, values: pd.Series) -> Encoding:
        """Find it by the values."""
        known = values.dropna()
        if not is_numeric(known):
            return cls(tuple(sorted(set(known.astype(str)))))
        return cls(None, is_wide(known))

    def encode(self, values: pd.Series) -> np.ndarray:
        """The numbers; NaN where a trial has no value, or another than was seen."""
        if self.choices is not None:
            codes = {choice: float(i) for i, choice in enumerate(self.choices)}
            return np.array([codes.get(str(each), np.nan) for each in values])
        numbers: np.ndarray = values.to_numpy(float, na_value=np.nan)
        return np.log(numbers, out=np.full(len(numbers), np.nan), where=numbers > 0) if self.is_log else numbers

    def decode(self, number: float) -> Any:
        """The value that a number stands for."""
        if self.choices is not None:
            return self.choices[int(number)]
        return float(f"{np.exp(number):.12g}") if self.is_log else float(number)  # as it was before its logarithm

    def place(self, values: pd.Series) -> np.ndarray:
        """Coordinates, [values, dimensions], in which any two choices, or the ends of the numbers, are 1 apart.

        What is not known lies apart from all that is.
        """
        numbers = self.encode(values)
        if self.choices is not None:
            chosen: np.ndarray = (numbers[:, None] == np.arange(len(self.choices))) / np.sqrt(2)
            return chosen
        low, high = np.nanmin(numbers, initial=np.inf), np.nanmax(numbers, initial=-np.inf)
        scaled = (numbers - low) / ((high - low) or 1.0)
        return np.where(np.isnan(scaled), -1.0, scaled)[:, None]
