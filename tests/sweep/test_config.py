from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stt_tune.errors import SweepConfigError
from stt_tune.sweep.config import SweepConfig

_REPOSITORY = Path(__file__).parents[2]
_SWEEP: dict[str, Any] = {"method": "random", "parameters": {"learning_rate": {"min": 0.0, "max": 1.0}}}


def test_every_sweep_file_of_the_project_can_be_read() -> None:
    paths = [*(_REPOSITORY / "configs").rglob("*.yaml"), *(_REPOSITORY / "stt_tune").rglob("sweep.yaml")]
    assert paths
    for path in paths:
        assert SweepConfig.from_yaml(path).parameters


def test_a_sweep_without_a_name_is_called_as_its_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("method: random\nproject: asr\nprogram: train.py\nparameters: {epochs: {min: 1, max: 3}}\n")
    sweep = SweepConfig.from_yaml(path)
    assert sweep.project == "asr"
    assert (sweep.name, sweep.metric.name, sweep.metric.mode, sweep.early_terminate) == ("mine", "wer", "min", None)


def test_the_same_generator_gives_the_same_configurations() -> None:
    sweep = SweepConfig.from_dict(_SWEEP)
    first, second = (
        [sweep.sample(rng) for _ in range(5)] for rng in (np.random.default_rng(3), np.random.default_rng(3))
    )
    assert first == second
    assert len({each["learning_rate"] for each in first}) == 5


def test_extremes_hold_every_bound_and_every_listed_value() -> None:
    parameters = {"a": {"min": 2, "max": 9}, "b": {"values": [1, 2, 3, 4, 5]}, "c": {"values": ["x", "y", "z"]}}
    extremes = SweepConfig.from_dict({"method": "random", "parameters": parameters}).extremes()
    assert {2, 9} <= {each["a"] for each in extremes}
    assert {each["b"] for each in extremes} == {1, 2, 3, 4, 5}
    assert {each["c"] for each in extremes} == {"x", "y", "z"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "bayes"}, "method: must be one of random; found 'bayes'"),
        ({"methode": "random"}, "methode: no such key. Known are method"),
        ({"parameters": {}}, "parameters: must be a mapping of at least one parameter"),
        ({"metric": "wer"}, "metric: must be a mapping"),
        ({"metric": {"name": "wer", "gaol": "minimize"}}, "metric.gaol: no such key"),
        ({"metric": {"name": "", "goal": "minimize"}}, "metric.name: must be a name"),
        ({"metric": {"name": "wer", "goal": "least"}}, "metric.goal: must be minimize or maximize, found 'least'"),
        ({"early_terminate": {"type": "envelope", "min_iter": 1}}, "early_terminate.type: must be hyperband"),
        ({"early_terminate": {"type": "hyperband"}}, "must have either min_iter, or max_iter with s"),
        ({"early_terminate": {"type": "hyperband", "min_iter": 0}}, "min_iter: must be a whole number of at least 1"),
        ({"early_terminate": {"type": "hyperband", "max_iter": 9}}, "s: max_iter needs it"),
        ({"early_terminate": {"type": "hyperband", "min_iter": 1, "etta": 3}}, "etta: no such key"),
        ({"early_terminate": "hyperband"}, "early_terminate: must be a mapping"),
    ],
)
def test_a_sweep_that_cannot_be_run_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(SweepConfigError, match=message):
        SweepConfig.from_dict({**_SWEEP, **change})


def test_all_problems_are_told_at_once_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("method: luck\nparameters: {a: {min: 3, max: 1}, b: {values: []}}\n")
    with pytest.raises(SweepConfigError) as caught:
        SweepConfig.from_yaml(path)
    assert len(caught.value.problems) == 3
    assert all(problem.startswith(f"{path}: ") for problem in caught.value.problems)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "must be a readable sweep file, found: No such file or directory"),
        (b"parameters: [", "must be YAML, and cannot be read"),
        (b"\xff\xfe\x00", "must be YAML, and cannot be read"),
        (b"just text", "must be a mapping with method and parameters"),
        (b"", "must be a mapping with method and parameters, found None"),
    ],
)
def test_a_file_that_is_no_sweep_is_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "sweep.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SweepConfigError, match=message):
        SweepConfig.from_yaml(path)


@pytest.mark.parametrize(
    ("spec", "epochs", "rungs"),
    [
        ({"min_iter": 1}, 12, [1, 3, 9]),
        ({"min_iter": 2, "eta": 2}, 12, [2, 4, 8]),
        ({"max_iter": 27, "s": 2}, 40, [3, 9]),
        ({"max_iter": 9, "s": 3}, 12, [1, 3]),
        ({"min_iter": 3}, 3, []),
    ],
)
def test_rungs_are_where_wandb_puts_its_bands(spec: dict[str, int], epochs: int, rungs: list[int]) -> None:
    sweep = SweepConfig.from_dict({**_SWEEP, "early_terminate": {"type": "hyperband", **spec}})
    assert sweep.early_terminate is not None
    assert sweep.early_terminate.rungs(epochs) == rungs
