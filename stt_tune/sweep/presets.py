"""Search ranges and default configurations for the model families and sizes that people fine-tune."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stt_tune.errors import SettingsError

DEFAULT_MODEL = "whisper-small"
# Half a decade to each side of the published value: wide enough to hold the best of a small data
# set, narrow enough that 20 trials cover it.
_SPREAD = 5.0
_WHISPER_DROPOUT, _CTC_DROPOUT = 0.05, 0.1


@dataclass(frozen=True)
class Preset:
    """What suits one model.

    Attributes:
        name: Family and size, and how it is trained.
        parameters: A W&B sweep's `parameters`.
        default: The configuration that people train with untuned.
    """

    name: str
    parameters: Mapping[str, Any]
    default: Mapping[str, Any]


@dataclass(frozen=True)
class _Size:
    """A row of the table below.

    Attributes:
        pattern: What a model's name holds.
        learning_rate: The published value for fine-tuning all weights.
        batch_sizes: What is tried; the middle one is the default.
    """

    name: str
    pattern: str
    learning_rate: float
    batch_sizes: tuple[int, ...] = (8, 16, 32)


# Learning rates of Whisper are those of pre-training divided by 40, which is what its authors
# advise for fine-tuning: 1.5e-3, 1e-3, 5e-4, 2.5e-4 and 1.75e-4 for tiny to large (2e-4 for
# large-v2, whose recipe large-v3 and turbo share).
# The first pattern that fits counts.
_WHISPER = (
    _Size("whisper-turbo", r"turbo", 5e-6, (4, 8, 16)),
    _Size("whisper-large", r"large(?!-?v[23])", 4.375e-6, (4, 8, 16)),
    _Size("whisper-large-v2", r"large-?v2", 5e-6, (4, 8, 16)),
    _Size("whisper-large-v3", r"large-?v3", 5e-6, (4, 8, 16)),
    _Size("whisper-medium", r"medium", 6.25e-6),
    _Size("whisper-small", r"small", 1.25e-5),
    _Size("whisper-base", r"base", 2.5e-5),
    _Size("whisper-tiny", r"tiny", 3.75e-5),
)
_CTC = (
    _Size("wav2vec2-large", r"wav2vec2.*(large|xls-?r|xlsr)", 3e-5),
    _Size("wav2vec2-base", r"wav2vec2", 1e-4),
    _Size("hubert", r"hubert", 2e-5),
    _Size("wavlm", r"wavlm", 3e-5),
    _Size("parakeet", r"parakeet", 1e-4),
)
_LORA_LEARNING_RATE = 1e-3
_LORA: Mapping[str, Any] = {"lora_rank": 32, "lora_alpha": 64}
# its attention passes adapters by
_LORA_WAVLM: Mapping[str, Any] = {**_LORA, "lora_targets": "all-linear"}


def find_preset(model: str, *, lora: bool = False) -> Preset:
    """Find what suits a model.

    The ranges, and where they come from:

    - `learning_rate`: log-uniform, from a fifth of the published value to five times it. Whisper:
      pre-training's divided by 40. wav2vec2: 1e-4 for base (Hugging Face's guide to English
      fine-tuning), 3e-5 for large (fairseq, `vox_960h.yaml`). HuBERT: 2e-5 (fairseq,
      `base_10h.yaml`). WavLM: 3e-5, as wav2vec2 large. Parakeet: 1e-4 (NeMo,
      `speech_to_text_finetune.yaml`). With LoRA: 1e-3 whatever the size, at rank 32 and alpha 64
      (peft's Whisper example).
    - `batch_size`: around the 16 that most recipes use, half of that for large models' memory;
      `gradient_accumulation_steps`: 1 or 2, so that the effective batch reaches twice as far.
    - `epochs`: 2 to 10. On 100 to 1000 cases more of them repeat what is known by heart.
    - `warmup_ratio`: 0 to 0.2. A ratio, because the 500 steps of the usual recipes are 8 epochs on
      1000 cases.
    - `weight_decay`: 0 to 0.1, around the 0.01 of most recipes. It matters little.
    - `dropout`: 0 to 0.05 for Whisper, which was pre-trained without and is ruined by more on a
      small budget; 0 to 0.1 for CTC models, which were pre-trained with 0.1. The default is 0.

    Args:
        model: A family and size, or any name that holds them.
        lora: Whether low-rank adapters are trained instead of the model's own weights.

    Raises:
        SettingsError: The family or the size is not known.

    Source: the recipes named above; Radford et al. 2022, "Robust Speech Recognition via Large-Scale
    Weak Supervision", table 17, with its authors' advice as Hugging Face's Whisper fine-tuning event
    passed it on; for dropout and weight decay 343 recorded runs of Whisper tiny.en.
    """
    size = _find_size(model)
    is_whisper = size in _WHISPER
    rate = _LORA_LEARNING_RATE if lora else size.learning_rate
    parameters = {
        "learning_rate": {"distribution": "log_uniform_values", "min": rate / _SPREAD, "max": rate * _SPREAD},
        "batch_size": {"values": list(size.batch_sizes)},
        "epochs": {"distribution": "int_uniform", "min": 2, "max": 10},
        "warmup_ratio": {"distribution": "uniform", "min": 0.0, "max": 0.2},
        "weight_decay": {"distribution": "uniform", "min": 0.0, "max": 0.1},
        "dropout": {"distribution": "uniform", "min": 0.0, "max": _WHISPER_DROPOUT if is_whisper else _CTC_DROPOUT},
        "gradient_accumulation_steps": {"values": [1, 2]},
    }
    default = {
        "learning_rate": rate,
        "batch_size": size.batch_sizes[1],
        "epochs": 5,
        "warmup_ratio": 0.1,
        "weight_decay": 0.01,
        "dropout": 0.0,
        "gradient_accumulation_steps": 1,
    }
    if lora:
        adapters = _LORA_WAVLM if size.name == "wavlm" else _LORA
        parameters |= {name: {"value": value} for name, value in adapters.items()}
        default |= adapters
    return Preset(f"{size.name}-lora" if lora else size.name, parameters, default)


def _find_size(model: str) -> _Size:
    # the folder's or repository's own name first: /home/hubert/whisper-small is no HuBERT
    for name in (model.lower().rstrip("/").split("/")[-1], model.lower()):
        for size in _CTC:
            if re.search(size.pattern, name):
                return size
        # tiny.en, as Whisper's authors call it, has no whisper in its name
        for size in _WHISPER:
            if re.search(rf"(^|whisper.*[-_/.]){size.pattern}", name):
                return size
    known = ", ".join(size.name for size in (*_WHISPER, *_CTC))
    raise SettingsError(f"model: must hold a family and a size that are known ({known}), found {model!r}.")
