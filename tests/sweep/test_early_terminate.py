from __future__ import annotations

import math
from typing import Any

import pytest

from stt_tune.errors import SweepConfigError
from stt_tune.sweep.config import SweepConfig
from stt_tune.sweep.early_terminate import EarlyTerminate, parse_early_terminate


def _sweep(**early_terminate: Any) -> SweepConfig:
    return SweepConfig.from_dict(
        {
            "method": "random",
            "metric": {"name": "wer"},
            "parameters": {"a": {"value": 1}},
            "early_terminate": {"type": "hyperband", **early_terminate},
        }
    )


def test_the_same_runs_are_stopped_as_by_wandb(wandb_reference: dict[str, Any]) -> None:
    stopped = 0
    for case in wandb_reference["hyperband"]:
        sweep = SweepConfig.from_dict(
            {
                "method": "random",
                "metric": {"name": "wer", "goal": case["goal"]},
                "parameters": {"a": {"value": 1}},
                "early_terminate": case["early_terminate"],
            }
        )
        histories = {run["name"]: [row["wer"] for row in run["history"]] for run in case["runs"]}
        running = [run["name"] for run in case["runs"] if run["state"] == "running"]
        assert sweep.hyperband_stops(histories, running) == set(case["stopped"]), case["early_terminate"]
        stopped += len(case["stopped"])
    assert stopped >= 50


@pytest.mark.parametrize(
    ("spec", "bands"),
    [
        ({"min_iter": 1}, (1, 3, 9, 27)),
        ({"min_iter": 2, "eta": 2}, (2, 4, 8, 16)),
        ({"min_iter": 2, "eta": 1.5}, (2, 3, 4, 6)),
        ({"max_iter": 27, "s": 2}, (3, 9)),
        ({"max_iter": 27, "s": 2, "eta": 2}, (6, 13)),
        ({"min_iter": 1, "eta": 1e200}, (1, int(1e200))),
        ({"max_iter": 9, "s": 5}, (1, 3)),
    ],
)
def test_bands_are_where_wandb_puts_them(spec: dict[str, Any], bands: tuple[int, ...]) -> None:
    assert parse_early_terminate({"type": "hyperband", **spec}).bands[:4] == bands


def test_what_is_not_finite_counts_as_not_reported() -> None:
    rule = EarlyTerminate(bands=(2,), eta=2)
    histories = {"a": [1.0, math.nan], "b": [0.5, 0.4], "c": [0.9, math.inf, 0.8], "d": [0.3, 0.2]}
    assert rule.stops(histories, ["a", "b", "c", "d"], "min") == {"c"}


def test_a_name_without_reports_goes_on_and_one_that_has_ended_is_not_stopped() -> None:
    sweep = _sweep(min_iter=1)
    histories = {"good": [0.1], "bad": [0.9], "worse": [1.0], "ended": [2.0]}
    assert sweep.hyperband_stops(histories, ["good", "bad", "worse", "new"]) == {"worse"}
    assert sweep.hyperband_stops({}, []) == set()


def test_stops_need_an_early_terminate() -> None:
    sweep = SweepConfig.from_dict({"method": "random", "parameters": {"a": {"value": 1}}})
    with pytest.raises(SweepConfigError, match="early_terminate: must be there to stop trials"):
        sweep.hyperband_stops({"a": [1.0]}, ["a"])


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"type": "envelope", "min_iter": 1}, "early_terminate.type: must be hyperband, found 'envelope'"),
        ({}, "must have either min_iter, or max_iter with s; found neither"),
        ({"min_iter": 1, "max_iter": 9, "s": 2}, "must have either min_iter, or max_iter with s; found both"),
        ({"min_iter": 0}, "min_iter: must be a whole number of at least 1, found 0"),
        ({"min_iter": True}, "min_iter: must be a whole number of at least 1, found True"),
        ({"max_iter": 9}, "s: max_iter needs it"),
        ({"max_iter": 2, "s": 1}, "max_iter=2 with eta=3 leaves no band of at least 1"),
        ({"min_iter": 1, "eta": 1}, "eta: must be a number above 1, found 1"),
        ({"min_iter": 1, "eta": math.inf}, "eta: must be a number above 1, found inf"),
        ({"min_iter": 1, "strict": "yes"}, "strict: must be true or false, found 'yes'"),
        ({"min_iter": 1, "etta": 3}, "early_terminate.etta: no such key"),
    ],
)
def test_an_early_terminate_that_cannot_hold_is_refused(spec: dict[str, Any], message: str) -> None:
    with pytest.raises(SweepConfigError, match=message):
        _sweep(**spec)
