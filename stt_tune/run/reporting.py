"""What a training function says while it trains: `stt_tune.report`."""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from stt_tune.progress import say
from stt_tune.sweep.nesting import flatten

Send = Callable[[dict[str, Any]], None]
_TUNES_OWN = ("done", "should_checkpoint")  # Tune would end or save a trial that reports them


class Reporter:
    """Turns what a training function says into the reports of one trial.

    Attributes:
        epoch: Of the last report; 0 before the first.
    """

    def __init__(self, send: Send, metric: str) -> None:
        """Hand every report to `send`; `metric` is the objective."""
        self.epoch = 0
        self._send = send
        self._metric = metric
        self._way = ""

    def report(self, metrics: Mapping[str, Any], way: str) -> None:
        """Report one epoch.

        The epoch is the one that is named, if it is a whole number beyond the last one, and else the
        next: so epochs that are counted from 0 are counted from 1 here, as W&B's bands are.

        Args:
            metrics: By name; nested ones get dotted names, and what is no number is left out.
            way: How it was said. Only the way in which a function reports first counts: one that
                logs its metrics to W&B and returns them, too, has said them once.

        Raises:
            TypeError: The objective is no number.
        """
        self._way = self._way or way
        if way != self._way:
            return
        said = flatten(metrics)
        numbers = {name: number for name, value in said.items() if (number := _number(value)) is not None}
        if self._metric in said and self._metric not in numbers:
            raise TypeError(f"{self._metric} must be reported as a number, found {said[self._metric]!r}")
        named = numbers.pop("epoch", math.nan)
        for name in _TUNES_OWN:
            numbers.pop(name, None)
        self.epoch = int(named) if named > self.epoch and float(named).is_integer() else self.epoch + 1
        self._send({**numbers, "epoch": self.epoch})


_current: Reporter | None = None


def report(metrics: Mapping[str, Any] | None = None, /, **named: Any) -> None:
    """Report the metrics of one epoch, from inside a training function: `report(epoch=1, wer=0.12)`.

    The call does not return if the trial is to be stopped early; clean up in `finally`. Outside a
    trial it prints the metrics, so that a training function can be tried by hand.

    Args:
        metrics: By name, for names that are no identifiers, such as `{"eval/wer": 0.12}`.
        named: The same, as keywords. Whatever is no number is left out.
    """
    together = {**(metrics or {}), **named}
    if _current is None:
        say(", ".join(f"{name} {value}" for name, value in together.items()))
    else:
        _current.report(together, "report")


@contextlib.contextmanager
def reporting_to(reporter: Reporter) -> Iterator[None]:
    """Let `report` reach `reporter` inside the block, from every thread: a worker runs one trial at a time."""
    global _current
    _current = reporter
    try:
        yield
    finally:
        _current = None


def _number(value: Any) -> float | int | bool | None:
    """The value as a plain number; None if it is none. Arrays and tensors of one element are numbers."""
    if not isinstance(value, bool | int | float):
        try:
            value = value.item()
        except (AttributeError, ValueError, RuntimeError, TypeError):
            return None
    is_number = isinstance(value, bool | float) or (isinstance(value, int) and abs(value) <= sys.float_info.max)
    return value if is_number else None
