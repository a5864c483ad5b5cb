from __future__ import annotations

import pytest

from stt_tune.errors import SettingsError
from stt_tune.speech.hyperparameters import Hyperparameters, find_problems
from stt_tune.sweep.config import SweepConfig, find_examples
from stt_tune.sweep.distributions import Constant
from stt_tune.sweep.presets import _CTC, _WHISPER, find_preset

_SEVEN = {
    "learning_rate", "batch_size", "epochs", "warmup_ratio", "weight_decay", "dropout", "gradient_accumulation_steps"
}  # fmt: skip
_SIZES = [each.name for each in (*_WHISPER, *_CTC)]


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("tiny.en", "whisper-tiny"),
        ("openai/whisper-base", "whisper-base"),
        ("openai/whisper-small.en", "whisper-small"),
        ("/models/whisper_medium", "whisper-medium"),
        ("/home/hubert/whisper-small/", "whisper-small"),
        ("/models/whisper-small/ct2", "whisper-small"),
        ("openai/whisper-large", "whisper-large"),
        ("openai/whisper-large-v2", "whisper-large-v2"),
        ("openai/whisper-large-v3", "whisper-large-v3"),
        ("openai/whisper-large-v3-turbo", "whisper-turbo"),
        ("distil-whisper/distil-large-v3", "whisper-large-v3"),
        ("facebook/wav2vec2-base-960h", "wav2vec2-base"),
        ("facebook/wav2vec2-xls-r-300m", "wav2vec2-large"),
        ("facebook/hubert-large-ls960-ft", "hubert"),
        ("microsoft/wavlm-base-plus", "wavlm"),
        ("nvidia/parakeet-ctc-1.1b", "parakeet"),
    ],
)
def test_models_are_known_by_the_names_that_people_give_them(model: str, name: str) -> None:
    assert find_preset(model).name == name
    assert find_preset(model, lora=True).name == f"{name}-lora"


@pytest.mark.parametrize("size", _SIZES)
@pytest.mark.parametrize("lora", [False, True])
def test_a_preset_holds_the_seven_parameters_and_a_default_inside_their_ranges(size: str, lora: bool) -> None:
    preset = find_preset(size, lora=lora)
    sweep = SweepConfig.create_finetuning_sweep(model=size, lora=lora)
    adapters = {name for name in sweep.parameters if name.startswith("lora_")}
    assert set(sweep.parameters) == set(preset.default) == _SEVEN | adapters
    assert bool(adapters) is lora
    assert not find_problems(preset.default)
    assert Hyperparameters.from_mapping(preset.default).dropout == 0
    for example in find_examples(sweep.parameters):
        assert not find_problems(example)
    for name, value in preset.default.items():
        parameter = sweep.parameters[name]
        if name in adapters:
            assert parameter == Constant(value)
            continue
        assert parameter.ppf(parameter.quantile(value)) == pytest.approx(value)


def test_larger_models_get_lower_learning_rates_and_whisper_hardly_any_dropout() -> None:
    rates = [find_preset(f"whisper-{size}").default["learning_rate"] for size in ("tiny", "base", "small", "medium")]
    assert rates == sorted(rates, reverse=True) == [3.75e-5, 2.5e-5, 1.25e-5, 6.25e-6]
    assert find_preset("whisper-tiny").parameters["dropout"]["max"] == 0.05
    assert find_preset("wav2vec2-base").parameters["dropout"]["max"] == 0.1
    assert find_preset("whisper-tiny", lora=True).default["learning_rate"] == 1e-3


def test_an_unknown_model_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(SettingsError, match=r"must hold a family and a size .*whisper-turbo.*parakeet.*, found 'gpt2'"):
        find_preset("gpt2")
