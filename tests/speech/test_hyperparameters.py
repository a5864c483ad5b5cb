from __future__ import annotations

import math
import re
from typing import Any

import pytest

from stt_tune.run.tune import find_speech_problems
from stt_tune.speech.hyperparameters import Hyperparameters, complete, find_problems
from stt_tune.sweep.config import SweepConfig


def test_the_default_is_what_people_train_with_untuned() -> None:
    default = Hyperparameters.from_mapping({})
    assert (default.learning_rate, default.batch_size, default.epochs, default.dropout) == (1e-5, 16, 5, 0.0)


@pytest.mark.parametrize(
    ("configuration", "message"),
    [
        ({"num_train_epochs": 3}, "num_train_epochs: no such hyperparameter; did you mean epochs?"),
        ({"per_device_train_batch_size": 3}, "did you mean batch_size?"),
        ({"lr": 1e-5}, "lr: no such hyperparameter"),
        ({"learning_rate": 0}, "learning_rate: must be a number above 0, found 0"),
        ({"learning_rate": "fast"}, "found 'fast'"),
        ({"learning_rate": math.nan}, "learning_rate: must be a number above 0, found nan"),
        ({"batch_size": 2.5}, "batch_size: must be a whole number of at least 1, found 2.5"),
        ({"epochs": True}, "epochs: must be a whole number of at least 1, found True"),
        ({"dropout": 1}, "dropout: must be a number from 0 to below 1"),
        ({"warmup_ratio": 1.5}, "warmup_ratio: must be a number from 0 to below 1"),
        ({"warmup_ratio": 0.1, "warmup_steps": 10}, "only one of them can hold"),
    ],
)
def test_what_cannot_be_trained_is_refused(configuration: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        Hyperparameters.from_mapping(configuration)


def test_a_refused_name_comes_with_the_list_of_known_ones() -> None:
    (problem,) = find_problems({"momentum": 0.9})
    assert "Known are learning_rate, batch_size, epochs, warmup_steps, warmup_ratio" in problem


def test_numbers_get_the_type_of_their_hyperparameter() -> None:
    chosen = Hyperparameters.from_mapping({"batch_size": 8.0, "dropout": 0})
    assert isinstance(chosen.batch_size, int)
    assert isinstance(chosen.dropout, float)


def test_a_configuration_survives_being_written() -> None:
    for configuration in ({"warmup_steps": 50}, {"warmup_ratio": 0.1}, {}):
        chosen = Hyperparameters.from_mapping(configuration)
        assert Hyperparameters.from_mapping(chosen.to_dict()) == chosen


def test_the_default_names_what_a_sweep_searches() -> None:
    assert Hyperparameters().to_dict(["warmup_steps"])["warmup_steps"] == 0
    assert "warmup_ratio" not in Hyperparameters().to_dict(["warmup_steps"])
    chosen = Hyperparameters(warmup_ratio=0.1).to_dict(["warmup_steps"])
    assert (chosen["warmup_ratio"], "warmup_steps" in chosen) == (0.1, False)
    assert Hyperparameters().to_dict(["lora_rank"])["lora_rank"] == 0


def test_what_a_sweep_leaves_out_comes_from_the_default() -> None:
    default = {"epochs": 7, "warmup_ratio": 0.1}
    assert complete({"learning_rate": 1e-4}, default) == {"learning_rate": 1e-4, **default}
    assert complete({"warmup_steps": 5}, default) == {"epochs": 7, "warmup_steps": 5}


def test_what_can_be_tuned_beyond_the_seven_is_named_in_a_sweep_like_any_parameter() -> None:
    values = {
        "freeze": ["none", "encoder"],
        "lora_rank": [0, 8],
        "lora_targets": ["attention", "all-linear"],
        "lr_scheduler_type": ["cosine", "linear"],
        "mask_time_prob": [0.0, 0.1],
        "replay_ratio": [0, 0.5],
    }
    sweep = SweepConfig.from_dict(
        {"method": "random", "parameters": {name: {"values": each} for name, each in values.items()}}
    )
    assert find_speech_problems(sweep.parameters, sweep.metric) == []
    chosen = Hyperparameters.from_mapping({"freeze": "encoder", "lora_rank": 8.0, "lora_alpha": 4})
    assert (chosen.freeze, chosen.lora_rank) == ("encoder", 8)
    assert chosen.to_dict() == {**Hyperparameters().to_dict(), "freeze": "encoder", "lora_rank": 8, "lora_alpha": 4}
    with pytest.raises(ValueError, match="freeze: must be one of none, encoder, feature_encoder, found 'all'"):
        Hyperparameters.from_mapping({"freeze": "all"})
    with pytest.raises(ValueError, match="base_weight: adapters are not moved back; found lora_rank, too"):
        Hyperparameters.from_mapping({"base_weight": 0.5, "lora_rank": 4})
