"""Who goes on at a rung."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stt_tune.sweep.asha import Asha


def _run(asha: Asha, name: str, curve: list[float], planned: int | None = None) -> int:
    """Let a trial report until it is stopped, and give its epochs."""
    for epoch, value in enumerate(curve, start=1):
        if asha.stops(name, epoch, planned, value):
            return epoch
    return len(curve)


def test_no_one_is_stopped_before_as_many_peers_as_eta_have_passed() -> None:
    asha = Asha([1], eta=3, mode="min", longest=None)
    assert [asha.stops(f"{i}", 1, None, 0.1 + i) for i in range(5)] == [False, False, False, True, True]
    assert not asha.stops("better than all", 1, None, 0.0)


def test_a_trial_is_judged_by_the_best_that_it_has_reported() -> None:
    asha = Asha([2], eta=2, mode="min", longest=None)
    for i in range(4):
        _run(asha, f"{i}", [0.5, 0.5])
    assert _run(asha, "noisy", [0.4, 0.9, 0.3]) == 3
    assert _run(asha, "weak", [0.9, 0.6, 0.3]) == 2


def test_of_equals_the_earlier_goes_on() -> None:
    asha = Asha([1], eta=2, mode="min", longest=None)
    assert [asha.stops(f"{i}", 1, None, 0.5) for i in range(4)] == [False, False, True, True]


def test_more_is_better_where_the_goal_is_to_maximise() -> None:
    asha = Asha([1], eta=2, mode="max", longest=None)
    assert [asha.stops(f"{i}", 1, None, value) for i, value in enumerate([0.5, 0.6, 0.1, 0.9])] == [
        False,
        False,
        True,
        False,
    ]


def test_a_value_that_is_none_is_the_worst() -> None:
    asha = Asha([1], eta=2, mode="min", longest=None)
    assert [asha.stops(f"{i}", 1, None, value) for i, value in enumerate([math.nan, 9.0, math.nan, 8.0])] == [
        False,
        False,
        True,
        False,
    ]


@pytest.mark.parametrize(("planned", "rungs"), [(12, (3, 9)), (8, (2, 6)), (3, (1, 2)), (None, (3, 9))])
def test_runs_of_different_lengths_meet_a_rung_after_the_same_share(
    planned: int | None, rungs: tuple[int, int]
) -> None:
    for rung, epoch in enumerate(rungs):
        asha = Asha([3, 9], eta=2, mode="min", longest=12)
        for i in range(3):
            _run(asha, f"{i}", [0.5 if each < (3, 9)[rung] else 0.1 for each in range(1, 13)], 12)
        curve = [0.5 if each < epoch else 0.2 for each in range(1, 13)]
        # ties stop no one at the first rung, if it is the second that is looked at
        curve[0] = 0.4
        assert _run(asha, "another", curve, planned) == epoch


def test_a_report_that_passes_several_rungs_counts_at_each() -> None:
    asha = Asha([1, 3], eta=2, mode="min", longest=12)
    for i in range(3):
        _run(asha, f"{i}", [0.1, 0.1, 0.1], 12)
    assert asha.stops("short", 1, 3, 0.2)
    assert not asha.stops("short", 2, 3, 0.05)


@given(st.permutations(range(8)), st.floats(0, 9))
def test_the_order_of_those_that_passed_before_does_not_matter(order: list[int], value: float) -> None:
    def judge(values: list[int]) -> bool:
        asha = Asha([1], eta=3, mode="min", longest=None)
        for each in values:
            asha.stops(f"{each}", 1, None, float(each))
        return asha.stops("last", 1, None, value)

    assert judge(order) == judge(sorted(order))
