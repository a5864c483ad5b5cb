"""What the system has to go on getting right: a configuration that forgets too much of it is refused."""

from __future__ import annotations

import math
from collections.abc import Sequence

from stt_tune.progress import say
from stt_tune.results.statistics import Interval, find_rate
from stt_tune.run.measures import count_words, find_blocks, tabulate_errors
from stt_tune.speech.example import Example
from stt_tune.speech.rates import UtteranceErrors, summarise

_WRONG_GUARD = 0.05
_SEEN = 4  # errors; fewer are no accident only if no error was to be expected (Poisson)


def find_rise(
    base: Sequence[UtteranceErrors], after: Sequence[list[UtteranceErrors]], guarded: Sequence[Example], seed: int
) -> Interval:
    """How far the WER on the guard rises over the base model's, absolute.

    Args:
        base: What the base model gets wrong of it.
        after: The same of each training of a configuration.
        guarded: Its utterances.
        seed: Of resampling.
    """
    blocks, _are = find_blocks(guarded)
    return find_rate(tabulate_errors(after) - tabulate_errors([base]), count_words(base), blocks, seed=seed)


def find_objection(rise: Interval, tolerance: float) -> str | None:
    """Say why a configuration is refused whatever it gains; None where it is not."""
    if rise.value <= tolerance or rise.low <= 0:
        return None
    return (
        f"the guard's WER rises by {100 * rise.value:.1f} points (95 % interval {100 * rise.low:.1f} to "
        f"{100 * rise.high:.1f}), tolerated are {100 * tolerance:.1f}"
    )


def warn_of_guard(base: Sequence[UtteranceErrors], tolerance: float) -> None:
    """Say what keeps a guard from guarding: errors of the base model, or too few words."""
    words, wer = sum(each.words for each in base), summarise(base).wer
    if wer > _WRONG_GUARD:
        say(
            f"--guard: is to hold what the system gets right today, and the base model's WER on it is {wer:.2f}: what "
            "is learned anew hides what is forgotten. Check it, and --normaliser."
        )
    if tolerance and words * tolerance < _SEEN:
        say(
            f"--guard: is small: on its {words} words a rise of {100 * tolerance:g} points is {words * tolerance:.1f} "
            f"errors, too few to tell from chance. It takes about {math.ceil(_SEEN / tolerance)} words."
        )
