"""The sweep that ours is compared with, on a small model and a little speech."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
import yaml
from transformers import PreTrainedModel

from stt_tune.bench.recipe import Recipe
from stt_tune.bench.sweep import bench_sweep
from stt_tune.demo import DEMO_SWEEP
from stt_tune.errors import SettingsError
from stt_tune.run.data import load_speech
from stt_tune.run.settings import TuneSettings
from stt_tune.speech.decode import measure_at_full_context
from stt_tune.speech.families.seq2seq import Seq2SeqModel
from stt_tune.speech.normalisers import load_normaliser
from stt_tune.sweep.config import SweepConfig


@pytest.fixture
def recipe(corpus: Path, small_model: str) -> Recipe:
    task = load_speech(TuneSettings(data=str(corpus), model=small_model)).task
    few = replace(task.data, train=task.data.train[:6], dev=task.data.dev[:2])
    document = yaml.safe_load(DEMO_SWEEP.read_text())
    document["parameters"]["dropout"] = {"min": 0.01, "max": 0.1}
    sweep = SweepConfig.from_dict(document)
    return Recipe(cast("Seq2SeqModel", task.model), few, sweep, load_normaliser("basic"), seed=0)


def test_the_usual_recipe_searches_the_same_space_and_trains_its_choice(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched: list[Mapping[str, float]] = []
    build = Seq2SeqModel.build

    def see(model: Seq2SeqModel, given: Mapping[str, float]) -> PreTrainedModel:
        searched.append(given)
        return build(model, given)

    monkeypatch.setattr(Seq2SeqModel, "build", see)  # what the search builds its networks with, seen on the way
    chosen, dev_wer = recipe.search(trials=2)
    assert chosen["dropout"] in [given["dropout"] for given in searched if given]
    assert 2 <= chosen["num_train_epochs"] <= 4
    assert chosen["per_device_train_batch_size"] in (4, 8, 16)
    assert 1e-5 <= chosen["learning_rate"] <= 3e-4
    assert 0 <= chosen["warmup_steps"] <= 0.2
    assert math.isfinite(dev_wer)
    assert recipe.samples_trained >= 6 * (2 + 1)  # the second may have been pruned
    network = recipe.train(chosen)
    heard = measure_at_full_context(network, recipe.data.dev, recipe.model, "basic")
    assert [each.id for each in heard] == [each.id for each in recipe.data.dev]


def test_what_the_trainer_learns_is_what_ours_learns(recipe: Recipe) -> None:
    """Its labels follow the network's start token, and hold the rest of the prompt; ours hold the transcript."""
    row, example = recipe._rows(recipe.data.train)[0], recipe.data.train[0]
    assert row["labels"].tolist() == [*recipe.model.prompt[1:], *example.labels]
    assert recipe.model.build().config.decoder_start_token_id == recipe.model.prompt[0]
    assert row["input_features"].shape == (80, 3000)


def test_the_usual_recipe_computes_as_transformers_does(recipe: Recipe) -> None:
    network: Any = recipe._build_network({})
    layers = (network.get_encoder().layers[0].self_attn, network.get_decoder().layers[0].encoder_attn)
    assert {each.config._attn_implementation for each in layers} == {"sdpa"}
    assert type(network.proj_out) is torch.nn.Linear


def test_a_comparison_needs_two_trials() -> None:
    with pytest.raises(SettingsError, match="--trials must be at least 2, found 1"):
        bench_sweep(trials=1, seed=0)
