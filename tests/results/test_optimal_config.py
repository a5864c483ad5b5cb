from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from stt_tune.errors import SettingsError
from stt_tune.results.optimal_config import (
    load_config,
    load_schema,
    note,
    publish,
    read_optimal_config,
    save_config,
    update_config,
    update_optimal_config,
)
from stt_tune.speech.hyperparameters import NAMES, find_problems
from stt_tune.speech.normalisers import NORMALISERS, describe_normaliser
from stt_tune.speech.rates import KINDS

_PARAMS = {"learning_rate": 1.2512345678901234e-5, "batch_size": 16, "optimizer": {"name": "adamw"}}


def test_hyperparameters_survive_the_file(tmp_path: Path) -> None:
    path = tmp_path / "shared" / "optimal_config.json"
    save_config(path, _PARAMS)
    assert load_config(path) == _PARAMS
    document = read_optimal_config(path)
    assert (document["schema_version"], document["revision"], document["history"]) == (1, 1, [])
    assert document["written_at"].startswith("20")
    assert "@" in document["written_by"]


def test_an_update_keeps_what_was_there_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    update_optimal_config(_PARAMS)
    update_optimal_config({**_PARAMS, "batch_size": 8})
    assert load_config("optimal_config.json")["batch_size"] == 8
    document = read_optimal_config("optimal_config.json")
    (replaced,) = document["history"]
    assert replaced["event"] == "replaced"
    assert replaced["before"]["hyperparameters"] == _PARAMS
    assert document["revision"] == 2


def test_a_kind_of_error_has_its_own_hyperparameters_where_the_file_has_them(tmp_path: Path) -> None:
    path = tmp_path / "optimal_config.json"
    own = {"hyperparameters": {"epochs": 3}}
    publish({"hyperparameters": {"epochs": 5}, "by_error_type": {"deletion": own}}, path)
    assert load_config(path, "deletion") == {"epochs": 3}
    assert load_config(path, "insertion") == load_config(path) == {"epochs": 5}
    with pytest.raises(SettingsError, match=r"error_type: must be one of substitution, deletion.*found 'deletions'"):
        load_config(path, "deletions")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "must be an optimal_config.json, and there is none"),
        ("{", "cannot be read"),
        ("[]", "the file: must be of type object, found"),
        ("{}", "'hyperparameters' is a required property"),
        ('{"hyperparameters": 3}', "hyperparameters: must be of type object, found 3"),
        ('{"hyperparameters": {}}', "hyperparameters: must hold at least 1"),
        ('{"hyperparameters": {"learning_rate": NaN}}', "numbers must be finite, found NaN"),
        ('{"hyperparameters": {"learning_rate": 1e999}}', "numbers must be finite, found 1e999"),
        ('{"hyperparameters": {"lr_scheduler_type": 5}}', "hyperparameters.lr_scheduler_type: must be of type string"),
        ('{"hyperparameters": {"epochs": 2}, "language": 5}', "language: must be of type string, found 5"),
        ('{"hyperparameters": {"epochs": 2}, "data_profile": {"base": {}}}', "data_profile.base: 'mean' is a required"),
        ('{"hyperparameters": {"learning_rate": "1e-5"}}', "hyperparameters.learning_rate: must be of type number"),
        (
            '{"hyperparameters": {"learning_rate": -1e-5}}',
            "hyperparameters.learning_rate: must be above 0, found -1e-05",
        ),
        ("[" * 100_000, "must be an optimal_config.json, and cannot be read (maximum recursion depth"),
        ('{"hyperparameters": {"epochs": 2.5}}', "hyperparameters.epochs: must be of type integer, found 2.5"),
        ('{"hyperparameters": {"dropout": 1}}', "hyperparameters.dropout: must be below 1, found 1"),
        (
            '{"hyperparameters": {"epochs": 2}, "by_error_type": {"deletions": {}}}',
            'by_error_type: must be one of substitution, deletion, insertion, pronunciation, found "deletions"',
        ),
        (
            '{"hyperparameters": {"epochs": 2}, "by_error_type": {"deletion": {"hyperparameters": {"epochs": 0}}}}',
            "by_error_type.deletion.hyperparameters.epochs: must be at least 1, found 0",
        ),
        (
            '{"schema_version": 2, "hyperparameters": {"epochs": 2}}',
            "schema_version: must be 1, found 2. Upgrade stt_tune",
        ),
        ('{"hyperparameters": {"epochs": 2}, "normaliser": "digit"}', "normaliser: "),
        ('{"hyperparameters": {"epochs": 2}, "decision": "yes"}', "decision: must be one of winner, default_kept"),
        ('{"hyperparameters": {"epochs": 2}, "history": [{"at": "now"}]}', "history.0"),
        ('{"hyperparameters": {"epochs": 2}, "held_out": {"wer": "low"}}', "held_out.wer: must be of type number"),
    ],
)
def test_a_file_that_cannot_be_trained_with_is_refused(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "optimal_config.json"
    if content is not None:
        path.write_text(content)
    for read in (read_optimal_config, load_config):
        with pytest.raises(SettingsError) as refused:
            read(path)
        assert f"{path}: " in str(refused.value)
        assert message in str(refused.value)


def test_counts_are_whole_numbers_however_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "optimal_config.json"
    written = {"epochs": 5.0, "batch_size": 1.6e1, "learning_rate": 1.0, "warmup_steps": 0.0, "other": 2.0}
    kinds = {"deletion": {"hyperparameters": {"epochs": 7.0}}}
    path.write_text(json.dumps({"hyperparameters": written, "by_error_type": kinds, "winner": None}))
    found = load_config(path)
    assert found == written
    whole = {name for name, value in found.items() if isinstance(value, int)}
    assert whole == {"epochs", "batch_size", "warmup_steps"}
    assert isinstance(load_config(path, "deletion")["epochs"], int)


def test_all_problems_of_a_file_are_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "optimal_config.json"
    path.write_text('{"hyperparameters": {"epochs": 0, "dropout": -1}, "seed": "a"}')
    with pytest.raises(SettingsError) as refused:
        read_optimal_config(path)
    assert len(str(refused.value).splitlines()) == 3


def test_every_truncation_of_a_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "optimal_config.json"
    save_config(path, _PARAMS)
    whole = path.read_text()
    for length in range(len(whole.rstrip())):
        path.write_text(whole[:length])
        with pytest.raises(SettingsError):
            load_config(path)


def test_a_file_of_the_first_version_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "optimal_config.json"
    path.write_text('{"hyperparameters": {"epochs": 2}, "decision": "winner", "metric": "wer", "held_out": null}')
    document = read_optimal_config(path)
    assert (document["schema_version"], document["revision"], document["history"]) == (1, 1, [])
    update_config(path, lambda content: {**content, "history": [*content["history"], note("looked at")]})
    assert read_optimal_config(path)["revision"] == 2


def test_the_schema_and_the_training_agree_on_hyperparameters(tmp_path: Path) -> None:
    path = tmp_path / "optimal_config.json"
    named = load_schema()["$defs"]["hyperparameters"]["properties"]
    assert set(named) <= set(NAMES)
    assert {"learning_rate", "batch_size", "epochs", "warmup_steps", "warmup_ratio", "dropout"} <= set(named)
    for name in named:
        if named[name].get("type") == "string":
            continue  # which of them depends on the model
        for value in (-1, 0, 0.5, 1, 1.5, 2, 1e9, "1", None, True):
            path.write_text(json.dumps({"hyperparameters": {name: value}}))
            try:
                load_config(path)
                is_read = True
            except SettingsError:
                is_read = False
            assert is_read == (not find_problems({name: value})), (name, value)
    assert load_schema()["properties"]["by_error_type"]["propertyNames"]["enum"] == list(KINDS)


def test_the_schema_knows_the_normalisers(tmp_path: Path) -> None:
    path = tmp_path / "optimal_config.json"
    for name in NORMALISERS:
        recorded = name if name == "auto" else describe_normaliser(name)
        path.write_text(json.dumps({"hyperparameters": {"epochs": 2}, "normaliser": recorded}))
        assert read_optimal_config(path)["normaliser"] == recorded


def test_fields_of_a_later_version_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "optimal_config.json"
    path.write_text(
        '{"hyperparameters": {"epochs": 2}, "of_the_future": {"a": [1, null], "at": 1759741234.5678}, "seed": 3}'
    )
    update_optimal_config({"epochs": 3}, path)
    document = read_optimal_config(path)
    assert document["of_the_future"] == {"a": [1, None], "at": 1759741234.5678}
    assert "seed" not in document
    assert document["history"][0]["before"]["seed"] == 3


def test_the_file_is_readable_with_short_numbers_and_sorted_keys(tmp_path: Path) -> None:
    path = tmp_path / "optimal_config.json"
    rate = 1.2512345678901234e-5
    publish({"hyperparameters": {"learning_rate": rate}, "held_out": {"wer": 1 / 3}}, path)
    text = path.read_text()
    document = json.loads(text)
    assert list(document) == sorted(document)
    assert text == json.dumps(document, indent=2, sort_keys=True) + "\n"
    assert document["held_out"]["wer"] == 0.333333
    assert document["hyperparameters"]["learning_rate"] == rate


@pytest.mark.parametrize("bad", [{}, {"learning_rate": math.nan}, {"learning_rate": object()}, {"epochs": 0}])
def test_what_cannot_be_written_leaves_the_old_file_whole(tmp_path: Path, bad: dict[str, Any]) -> None:
    path = tmp_path / "optimal_config.json"
    save_config(path, _PARAMS)
    before = path.read_bytes()
    for write in (save_config, lambda path, params: update_optimal_config(params, path)):
        with pytest.raises(SettingsError, match=f"{path}: "):
            write(path, bad)
        assert path.read_bytes() == before
    with pytest.raises(SettingsError, match="must be a mapping, found None"):
        update_config(path, lambda content: content.update(seed=1))  # type: ignore[arg-type]
    assert path.read_bytes() == before
    assert {each.name for each in tmp_path.iterdir()} <= {path.name, f".{path.name}.lock"}
