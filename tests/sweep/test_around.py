from __future__ import annotations

import numpy as np
import pytest

from stt_tune.speech.hyperparameters import Hyperparameters, complete, find_problems
from stt_tune.sweep.around import build_sweep_around
from stt_tune.sweep.config import find_examples


@pytest.mark.parametrize(
    "configuration",
    [
        {},
        {"epochs": 1, "batch_size": 1, "warmup_ratio": 0.0},
        {"epochs": 10, "batch_size": 24, "learning_rate": 1e-3, "warmup_ratio": 0.9},
        {"warmup_steps": 100, "lora_rank": 8},
    ],
)
def test_all_around_a_configuration_can_be_trained_and_it_is_inside(configuration: dict[str, float]) -> None:
    whole = Hyperparameters.from_mapping(configuration).to_dict()
    sweep = build_sweep_around(whole)
    assert sweep.method == "bayes"
    assert {"learning_rate", "batch_size", "epochs"} <= set(sweep.parameters)
    assert ("warmup_ratio" in sweep.parameters) == ("warmup_ratio" in whole)
    for example in find_examples(sweep.parameters):
        assert not find_problems(complete(example, whole))
    for name, parameter in sweep.parameters.items():
        assert parameter.ppf(parameter.quantile(whole[name])) == pytest.approx(whole[name])
        drawn = {parameter.ppf(u) for u in np.linspace(0, 1, 20)}
        assert len(drawn) > 1
