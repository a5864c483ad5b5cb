"""The epochs at which trials are compared."""

from __future__ import annotations

import pytest

from stt_tune.sweep.config import SweepConfig
from stt_tune.sweep.rungs import find_longest, find_rungs


def _sweep(**more: object) -> SweepConfig:
    parameters = {"epochs": {"min": 2, "max": 9}, "learning_rate": {"min": 1e-6, "max": 1e-3}}
    early = {"type": "hyperband", "min_iter": 1, "eta": 3}
    return SweepConfig.from_dict({"method": "random", "parameters": parameters, "early_terminate": early, **more})


@pytest.mark.parametrize(
    ("scheduler", "epochs", "rungs"),
    [
        ("asha", 9, (1, 3)),
        ("asha", 6, (1, 2)),
        ("asha", 2, (1, 1)),
        ("asha", 1, ()),
        ("wandb-hyperband", 9, (1, 3)),
        ("wandb-hyperband", 3, (1,)),
        ("none", 9, ()),
    ],
)
def test_a_trial_meets_the_rungs_of_its_scheduler_before_its_end(
    scheduler: str, epochs: int, rungs: tuple[int, ...]
) -> None:
    assert find_rungs(_sweep(), scheduler, None, {"epochs": epochs}) == rungs


def test_a_sweep_without_early_termination_has_no_rungs() -> None:
    assert find_rungs(_sweep(early_terminate=None), "asha", None, {"epochs": 9}) == ()


def test_a_run_of_unknown_length_meets_the_bands_themselves() -> None:
    sweep = _sweep(parameters={"learning_rate": {"min": 1e-6, "max": 1e-3}})
    assert find_rungs(sweep, "asha", None, {"learning_rate": 1e-4})[:3] == (1, 3, 9)


def test_the_longest_run_may_be_the_defaults() -> None:
    assert find_longest(_sweep(), {"epochs": 12}) == 12
    assert find_longest(_sweep(), {"epochs": 5}) == 9
