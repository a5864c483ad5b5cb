"""W&B's `early_terminate: hyperband`: after which reports a weak trial may be stopped."""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stt_tune.sweep.numerals import is_count, is_number

# What may do the stopping: ASHA on the bands, W&B's own rule, or nothing.
SCHEDULERS = ("asha", "wandb-hyperband", "none")
_KEYS = ("type", "min_iter", "max_iter", "eta", "s", "strict")
_DEFAULT_ETA = 3
_BANDS_FROM_MIN_ITER = 100


@dataclass(frozen=True)
class EarlyTerminate:
    """Hyperband's bands, and W&B's own rule of whom to stop at them.

    Attributes:
        bands: Counts of reports, ascending, at which trials are compared.
        eta: One in `eta` trials goes on at each band.
        strict: Whether a trial is judged by its value at the band; otherwise by the best it ever had.

    Source: W&B's sweep engine, `hyperband_stopping.py`; Li et al. 2018, "Hyperband".
    """

    bands: tuple[int, ...] = field(repr=False)
    eta: float
    strict: bool = True

    def stops(self, histories: Mapping[str, Sequence[float]], running: Collection[str], mode: str) -> set[str]:
        """Whom W&B would stop.

        Args:
            histories: Every trial's values of the metric, in order; what is not finite counts as not reported.
            running: Names of the trials that are still running.
            mode: `min` or `max`.

        Returns:
            Names of running trials: those that are worse at the last band they have passed than
            the value that one in `eta` of all trials reached there.
        """
        sign = 1 if mode == "min" else -1
        losses = {
            name: [sign * value for value in history if math.isfinite(value)] for name, history in histories.items()
        }
        stopped = set()
        for name in running:
            history = losses.get(name, [])
            passed = [band for band in self.bands if band <= len(history)]
            if not passed:
                continue
            band = passed[-1]
            peers = sorted(each[band - 1] for each in losses.values() if len(each) >= band)
            judged_by = history[band - 1] if self.strict else min(history)
            # W&B multiplies by the share, which rounds otherwise than dividing by eta
            if judged_by > peers[int(1 / self.eta * len(peers))]:
                stopped.add(name)
        return stopped


def parse_early_terminate(spec: Any) -> EarlyTerminate:
    """Read a sweep's `early_terminate`.

    Either `min_iter` (the first band; every further one is `eta` times as far) or `max_iter` with
    `s` (`s` bands below `max_iter`, each `eta` times nearer) must be given.

    Raises:
        ValueError: It cannot be read; the message holds all its problems, one a line.
    """
    if not isinstance(spec, Mapping):
        raise ValueError(f"early_terminate: must be a mapping with type: hyperband, found {spec!r}.")
    unknown = [key for key in spec if key not in _KEYS]
    problems = [f"early_terminate.{key}: no such key. Known are {', '.join(_KEYS)}." for key in unknown]
    if spec.get("type") != "hyperband":
        problems.append(f"early_terminate.type: must be hyperband, found {spec.get('type')!r}.")
    for key in ("min_iter", "max_iter", "s"):
        if key in spec and not is_count(spec[key]):
            problems.append(f"early_terminate.{key}: must be a whole number of at least 1, found {spec[key]!r}.")
    eta, strict = spec.get("eta", _DEFAULT_ETA), spec.get("strict", True)
    if isinstance(eta, bool) or not isinstance(eta, int | float) or not (1 < eta < math.inf):
        problems.append(f"early_terminate.eta: must be a number above 1, found {eta!r}.")
    if not isinstance(strict, bool):
        problems.append(f"early_terminate.strict: must be true or false, found {strict!r}.")
    if ("min_iter" in spec) == ("max_iter" in spec):
        found = "both" if "min_iter" in spec else "neither"
        problems.append(f"early_terminate: must have either min_iter, or max_iter with s; found {found}.")
    elif "max_iter" in spec and "s" not in spec:
        problems.append("early_terminate.s: max_iter needs it, and it is missing.")
    if problems:
        raise ValueError("\n".join(problems))
    if "min_iter" in spec:
        return EarlyTerminate(_bands_from(spec["min_iter"], eta), eta, strict)
    bands = _bands_below(spec["max_iter"], int(spec["s"]), eta)
    if not bands:
        raise ValueError(
            f"early_terminate: max_iter={spec['max_iter']} with eta={eta:g} leaves no band of at least 1. "
            "Raise max_iter or lower eta."
        )
    return EarlyTerminate(bands, eta, strict)


def _bands_from(min_iter: float, eta: float) -> tuple[int, ...]:
    # multiplied one by one, as W&B does: powers would round otherwise
    bands = itertools.accumulate(itertools.repeat(eta, _BANDS_FROM_MIN_ITER - 1), operator.mul, initial=min_iter)
    return tuple(int(band) for band in itertools.takewhile(is_number, bands))


def _bands_below(max_iter: float, s: int, eta: float) -> tuple[int, ...]:
    bands = itertools.accumulate(itertools.repeat(eta, s), operator.truediv, initial=max_iter)
    return tuple(sorted(int(band) for band in itertools.islice(bands, 1, None) if band >= 1))
