from __future__ import annotations

import copy
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from stt_tune.errors import SettingsError, SweepConfigError
from stt_tune.sweep.config import SweepConfig, find_examples
from tests.sweep.examples import ACCEPTED, REFUSED
from tests.sweep.specs import EVERY

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
    assert sweep.unused == ["program"]
    assert (sweep.name, sweep.metric.name, sweep.metric.mode, sweep.early_terminate) == ("mine", "wer", "min", None)


def test_aliases_stand_for_what_is_written_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text(
        "method: grid\nparameters: {a: &a {values: &v [1, 2]}, b: *a, c: {values: *v}, d: {value: [*v, *v]}}\n"
    )
    sweep = SweepConfig.from_yaml(path)
    assert (sweep.grid_size(), sweep.grid_point(7)["d"]) == (8, [[1, 2], [1, 2]])


def test_the_same_generator_gives_the_same_configurations() -> None:
    sweep = SweepConfig.from_dict(_SWEEP)
    first, second = ([sweep.sample(rng) for _ in range(5)] for rng in map(np.random.default_rng, (3, 3)))
    assert first == second
    assert len({each["learning_rate"] for each in first}) == 5


def test_configurations_that_wandb_refuses_are_refused(wandb_reference: dict[str, Any]) -> None:
    assert len(wandb_reference["rejected"]) >= 15
    for case in wandb_reference["rejected"]:
        # bayes without a metric is the one that W&B lets pass
        with pytest.raises(SweepConfigError):
            SweepConfig.from_dict(case["config"])


def test_the_grid_has_wandbs_order(wandb_reference: dict[str, Any]) -> None:
    example = wandb_reference["grid_example"]
    assert SweepConfig.from_dict(example["sweep"]).grid() == example["order"]


def test_a_vast_grid_costs_nothing_until_it_is_laid_out() -> None:
    parameters = {"a": {"min": 0, "max": 2**32 - 1}, "b": {"values": ["x", "y"]}}
    sweep = SweepConfig.from_dict({"method": "grid", "parameters": parameters})
    assert sweep.count_trials() == 2**33
    assert sweep.grid_point(2**33 - 1) == {"a": 2**32 - 1, "b": "y"}


def test_numpys_numbers_are_pythons() -> None:
    parameters = {"a": {"values": list(np.logspace(-5, -3, 3))}, "b": {"min": np.int64(1), "max": np.int64(4)}}
    sweep = SweepConfig.from_dict({"method": "random", "parameters": parameters})
    assert type(sweep.parameters["a"].ppf(0)) is float
    assert sweep.parameters["b"].grid() == range(1, 5)
    assert yaml.safe_load(sweep.text) == sweep.to_dict()


class _Optimiser(StrEnum):
    ADAMW = "adamw"


def test_members_of_an_enum_of_texts_are_texts() -> None:
    parameters = {"a": {"values": [_Optimiser.ADAMW, np.str_("sgd")]}}
    sweep = SweepConfig.from_dict({"method": "grid", "parameters": parameters})
    assert yaml.safe_load(sweep.text) == {"method": "grid", "parameters": {"a": {"values": ["adamw", "sgd"]}}}


def test_a_number_with_an_exponent_is_one_everywhere() -> None:
    early = {"type": "hyperband", "min_iter": "1e0", "eta": "3e0"}
    sweep = SweepConfig.from_dict({**_SWEEP, "run_cap": "1e2", "early_terminate": early})
    assert (sweep.run_cap, sweep.early_terminate.bands[:3]) == (100, (1, 3, 9))  # type: ignore[union-attr]


def test_samples_are_nested_as_wandb_nests_them(wandb_reference: dict[str, Any]) -> None:
    example = wandb_reference["nested_example"]
    sweep = SweepConfig.from_dict(example["sweep"])
    assert set(sweep.parameters) == {"optimizer.name", "optimizer.learning_rate", "batch_size"}
    drawn = sweep.sample(np.random.default_rng(0))
    for sample in example["samples"]:
        assert set(drawn) == set(sample)
        assert set(drawn["optimizer"]) == set(sample["optimizer"]["value"])
    assert sweep.flatten(drawn) == {
        "optimizer.name": drawn["optimizer"]["name"],
        "optimizer.learning_rate": drawn["optimizer"]["learning_rate"],
        "batch_size": drawn["batch_size"],
    }
    assert sweep.nest(sweep.flatten(drawn)) == drawn


def test_a_nested_grid_runs_through_sorted_names() -> None:
    parameters = {
        "z": {"values": [1, 2]},
        "a": {"parameters": {"y": {"values": ["u", "v"]}, "x": {"value": 0}}},
    }
    assert SweepConfig.from_dict({"method": "grid", "parameters": parameters}).grid() == [
        {"a": {"x": 0, "y": y}, "z": z} for y in ("u", "v") for z in (1, 2)
    ]


def test_names_with_dots_are_not_nested() -> None:
    sweep = SweepConfig.from_dict({"method": "random", "parameters": {"optimizer.lr": {"value": 1}}})
    assert sweep.sample(np.random.default_rng(0)) == {"optimizer.lr": 1}
    assert sweep.nest({"optimizer.lr": 2, "other.name": 3}) == {"optimizer.lr": 2, "other": {"name": 3}}


@pytest.mark.parametrize("text", ACCEPTED.values(), ids=ACCEPTED)
def test_a_sweep_survives_the_round_trip(text: str) -> None:
    document = yaml.safe_load(text)
    before = copy.deepcopy(document)
    sweep = SweepConfig.from_dict(document)
    again = SweepConfig.from_dict(sweep.to_dict())
    assert again == sweep
    assert again.to_dict() == sweep.to_dict()
    assert yaml.safe_load(sweep.text) == sweep.to_dict()
    assert document == before
    if "e-" not in text:  # numbers that YAML reads as text come back as numbers
        assert sweep.to_dict() == document


def test_what_to_dict_gives_is_the_callers_own() -> None:
    sweep = SweepConfig.from_dict(_SWEEP)
    sweep.to_dict()["parameters"].clear()
    assert sweep.to_dict() == _SWEEP


@pytest.mark.parametrize(("text", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_run_here_is_refused_with_a_reason(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text(text)
    with pytest.raises(SweepConfigError, match=reason):
        SweepConfig.from_yaml(path)


def test_numbers_that_yaml_reads_as_strings_are_numbers(tmp_path: Path) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text(
        "method: random\nmetric: {name: wer, target: 1e-2}\nname: 1e3\nparameters:\n"
        "  a: {distribution: log_uniform_values, min: 1e-6, max: 1E-3}\n"
        "  b: {values: [1e-5, adamw, 2.5e5]}\n  c: {value: 3E-5}\n"
    )
    sweep = SweepConfig.from_yaml(path)
    assert sweep.metric.target == 1e-2
    assert sweep.name == "1e3"
    assert sweep.parameters["a"].ppf(1.0) == 1e-3
    assert sweep.to_dict()["parameters"]["b"] == {"values": [1e-5, "adamw", 250000.0]}
    assert sweep.parameters["c"].ppf(0.5) == 3e-5


def test_extremes_hold_every_bound_and_every_listed_value() -> None:
    parameters = {"a": {"min": 2, "max": 9}, "b": {"values": [1, 2, 3, 4, 5]}, "c": {"values": ["x", "y", "z"]}}
    extremes = find_examples(SweepConfig.from_dict({"method": "random", "parameters": parameters}).parameters)
    assert {2, 9} <= {each["a"] for each in extremes}
    assert {each["b"] for each in extremes} == {1, 2, 3, 4, 5}
    assert {each["c"] for each in extremes} == {"x", "y", "z"}
    rare = {"a": {"values": [8, 0, 16], "probabilities": [0.98, 0.01, 0.01]}, "b": {"distribution": "normal"}}
    extremes = find_examples(SweepConfig.from_dict({"method": "random", "parameters": rare}).parameters)
    assert {each["a"] for each in extremes} == {8, 0, 16}
    assert max(abs(each["b"]) for each in extremes) < 3.1


@pytest.mark.parametrize(
    ("change", "asked", "expected"),
    [
        ({}, None, 20),
        ({}, 7, 7),
        ({}, 0, 0),
        ({"run_cap": 5}, None, 5),
        ({"run_cap": 5}, 7, 5),
        ({"run_cap": 50}, 7, 7),
        ({"method": "grid", "parameters": {"a": {"values": [1, 2]}, "b": {"min": 1, "max": 3}}}, None, 6),
        ({"method": "grid", "parameters": {"a": {"values": [1, 2]}, "b": {"min": 1, "max": 3}}}, 99, 6),
        ({"method": "grid", "parameters": {"a": {"values": [1, 2]}}, "run_cap": 1}, None, 1),
    ],
)
def test_how_many_trials_there_are(change: dict[str, Any], asked: int | None, expected: int) -> None:
    assert SweepConfig.from_dict({**_SWEEP, **change}).count_trials(asked) == expected


@pytest.mark.parametrize(
    ("goal", "target", "value", "reached"),
    [
        ("minimize", 0.1, 0.1, True),
        ("minimize", 0.1, 0.11, False),
        ("maximize", 0.9, 0.95, True),
        ("maximize", 0.9, 0.5, False),
        ("minimize", None, 0.0, False),
        ("minimize", 0.1, float("nan"), False),
    ],
)
def test_a_target_is_reached_from_the_side_of_the_goal(
    goal: str, target: float | None, value: float, reached: bool
) -> None:
    metric = {"name": "wer", "goal": goal} | ({} if target is None else {"target": target})
    assert SweepConfig.from_dict({**_SWEEP, "metric": metric}).metric.reaches_target(value) is reached


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "luck"}, "method: must be one of random, bayes, grid; found 'luck'"),
        ({"methode": "random"}, "methode: no such key. Known are method"),
        ({"parameters": {}}, "parameters: must be a mapping of at least one parameter"),
        ({"metric": "wer"}, "metric: must be a mapping"),
        ({"metric": {"name": "wer", "gaol": "minimize"}}, "metric.gaol: no such key"),
        ({"metric": {"name": ""}}, "metric.name: must be the name of a reported metric, found ''"),
        ({"metric": {"goal": "minimize"}}, "metric.name: must be the name of a reported metric, found None"),
        ({"metric": {"name": "wer", "goal": "least"}}, "metric.goal: must be minimize or maximize, found 'least'"),
        ({"metric": {"name": "wer", "target": "low"}}, "metric.target: must be a finite number, found 'low'"),
        ({"metric": {"name": "wer", "impute": "mean"}}, "metric.impute: must be one of latest, best, worst"),
        ({"early_terminate": "hyperband"}, "early_terminate: must be a mapping"),
        ({"method": "bayes"}, "metric: bayes needs it to learn from, and it is missing"),
        ({"method": "bayes", "metric": {"name": "a"}, "parameters": {"a": {"value": 1}}}, "all are constant"),
        (
            {"method": "grid"},
            "learning_rate: a grid needs values that can be counted, and these have no gaps",
        ),
        ({"run_cap": 0}, "run_cap: must be a whole number of at least 1, found 0"),
        ({"run_cap": True}, "run_cap: must be a whole number of at least 1, found True"),
        ({"name": ["a"]}, "name: must be text"),
        ({"command": "python train.py"}, "command: must be a list"),
        ({"controller": {"type": "local"}}, "controller: local controllers have no meaning here"),
        (
            {"parameters": {"a.b": {"value": 1}, "a": {"parameters": {"b": {"value": 2}}}}},
            "parameters.a.b: stands twice",
        ),
    ],
)
def test_a_sweep_that_cannot_be_run_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(SweepConfigError, match=message):
        SweepConfig.from_dict({**_SWEEP, **change})


def test_all_problems_are_told_at_once_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("method: luck\nmetric: {goal: up}\nparameters: {a: {min: 3, max: 1}, b: {values: []}}\n")
    with pytest.raises(SweepConfigError) as caught:
        SweepConfig.from_yaml(path)
    assert len(caught.value.problems) == 5
    assert all(problem.startswith(f"{path}: ") for problem in caught.value.problems)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "must be a readable sweep file, found: No such file or directory"),
        (b"parameters: [", "must be YAML, and cannot be read"),
        (b"\xff\xfe\x00", "must be YAML, and cannot be read"),
        (b"a: [2024-02-30]", r"what stands there is no timestamp \(day is out .*\)\. Put it in quotes.* column 5"),
        (b"a: 0x_", r"what stands there is no int \(invalid literal"),
        (b"a: " + b"9" * 5000, r"what stands there is no int \(Exceeds the limit"),
        (b"a: !!int abc", r"what stands there is no int \(invalid literal"),
        (b"a: !!int ''", r"what stands there is no int\. Put it in quotes"),
        (b"a: !!bool x", r"what stands there is no bool\. Put it in quotes"),
        (b"a: !!timestamp x", r"what stands there is no timestamp\. Put it in quotes"),
        (b"method: random\nmethod: grid\n", "the key method stands twice"),
        (b"parameters: " + b"[" * 2000, "must be YAML, and cannot be read: maximum recursion depth"),
        (b"method: random\nparameters: &a {x: *a}", r"parameters\.x: must end, and lies inside of itself"),
        (b"method: random\nparameters: {x: {values: &a [1, *a]}}", r"parameters\.x\.values: must end, and lies inside"),
        (
            b"method: random\nmetric: &a {name: *a}\nparameters: {x: {value: 1}}",
            r"metric\.name: must end, .* Write it out",
        ),
        (b"&a {method: random, parameters: *a}", r"parameters\.parameters: must end"),
        (
            b"method: random\nparameters: {day: {values: [2024-01-01, 2024-02-01]}}",
            r"yaml: parameters\.day\.values: must be of text, .*, found the date 2024-01-01\. Put it in quotes",
        ),
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


@pytest.mark.parametrize("method", ["random", "bayes"])
def test_every_distribution_can_be_swept(method: str) -> None:
    sweep = SweepConfig.from_dict({"method": method, "metric": {"name": "wer"}, "parameters": EVERY})
    assert set(sweep.sample(np.random.default_rng(0))) == set(EVERY)


def test_the_presets_are_plain_sweeps_with_a_plan() -> None:
    full = SweepConfig.create_finetuning_sweep(method="bayes", num_trials=12, model="openai/whisper-tiny.en")
    assert (full.method, full.count_trials(), full.name) == ("bayes", 12, "finetuning-whisper-tiny")
    assert SweepConfig.from_dict(full.to_dict()).parameters == full.parameters
    small = SweepConfig.create_minimal_sweep(num_trials=5)
    varied = {name for name, each in small.parameters.items() if len(each.grid() or (1, 2)) > 1}
    assert (small.count_trials(), varied) == (5, {"learning_rate", "epochs"})
    assert set(full.default or ()) == set(full.parameters) == set(small.parameters)
    with pytest.raises(SettingsError, match="num_trials: must be a whole number of at least 1, found 0"):
        SweepConfig.create_minimal_sweep(num_trials=0)
    with pytest.raises(SettingsError, match=r"method: must be random or bayes, .* found 'luck'"):
        SweepConfig.create_finetuning_sweep(method="luck")
