"""W&B's `early_terminate: hyperband`: after which epochs a weak trial may be stopped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_KEYS = ("type", "min_iter", "max_iter", "eta", "s")
_DEFAULT_ETA = 3
_ENDLESS = 10**6  # epochs; beyond any run


@dataclass(frozen=True)
class EarlyTerminate:
    """Rungs at `first_rung * eta ** k` epochs, up to `last_rung`.

    Attributes:
        first_rung: Epochs before a trial can first be stopped.
        eta: One in `eta` trials goes on at each rung, and the rungs are `eta` times apart.
        last_rung: No rung lies beyond it.
    """

    first_rung: int
    eta: int
    last_rung: int = _ENDLESS

    def rungs(self, epochs: int) -> list[int]:
        """The rungs that a trial of `epochs` epochs meets before its end.

        >>> EarlyTerminate(first_rung=1, eta=3).rungs(12)
        [1, 3, 9]
        """
        rungs, rung = [], self.first_rung
        while rung < epochs and rung <= self.last_rung:
            rungs.append(rung)
            rung *= self.eta
        return rungs


def parse_early_terminate(spec: Any) -> EarlyTerminate:
    """Read a sweep's `early_terminate`.

    Either `min_iter` (first rung; then ever further ones) or `max_iter` with `s` (`s` rungs below
    `max_iter`) must be given; `eta` is 3 unless it says otherwise.

    Raises:
        ValueError: It cannot be read; the message holds all its problems, one a line.

    Source: W&B's sweep engine, `hyperband_stopping.py`; Li et al. 2018, "Hyperband".
    """
    if not isinstance(spec, Mapping):
        raise ValueError(f"early_terminate: must be a mapping with type: hyperband, found {spec!r}.")
    unknown = [key for key in spec if key not in _KEYS]
    problems = [f"early_terminate.{key}: no such key. Known are {', '.join(_KEYS)}." for key in unknown]
    if spec.get("type") != "hyperband":
        problems.append(f"early_terminate.type: must be hyperband, found {spec.get('type')!r}.")
    for key, least in (("min_iter", 1), ("max_iter", 1), ("eta", 2), ("s", 1)):
        value = spec.get(key, least)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            problems.append(f"early_terminate.{key}: must be a whole number of at least {least}, found {value!r}.")
    if ("min_iter" in spec) == ("max_iter" in spec):
        problems.append("early_terminate: must have either min_iter, or max_iter with s.")
    elif "max_iter" in spec and "s" not in spec:
        problems.append("early_terminate.s: max_iter needs it, and it is missing.")
    if problems:
        raise ValueError("\n".join(problems))
    eta = spec.get("eta", _DEFAULT_ETA)
    if "min_iter" in spec:
        return EarlyTerminate(spec["min_iter"], eta)
    return EarlyTerminate(max(spec["max_iter"] // eta ** spec["s"], 1), eta, spec["max_iter"] // eta)
