"""What a frozen encoder makes of each utterance: the same in every epoch of every trial, so it is computed once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from stt_tune.speech.example import Example, SpeechData
from stt_tune.speech.families.base import SpeechModel
from stt_tune.speech.hyperparameters import Hyperparameters
from stt_tune.speech.precision import autocast

_BATCH = 16
_FRAMES = 2  # of the features, to a state
_SPLITS = ("train", "dev", "replay")  # those that are taken at the training's context


def uses_states(chosen: Hyperparameters, model: SpeechModel) -> bool:
    """Whether a training leaves the encoder as it is, and gives it the same clips in every epoch."""
    is_masked = chosen.mask_time_prob or chosen.mask_feature_prob
    return model.has_fixed_context and (chosen.freeze or model.default_freeze) == "encoder" and not is_masked


def find_context(model: SpeechModel, data: SpeechData) -> float:
    """What the utterances are padded to where nothing else is asked for, in seconds: all to the longest."""
    return model.find_context([each for split in _SPLITS for each in getattr(data, split)])


def count_bytes(model: SpeechModel, data: SpeechData, audio_context_s: float) -> int:
    """What the states of a data set take."""
    config: Any = model.config
    frames = model.collate(data.train[:1], audio_context_s)["input_features"].shape[-1]
    return sum(len(getattr(data, split)) for split in _SPLITS) * frames // _FRAMES * int(config.d_model) * 2


@torch.no_grad()
def compute_states(model: SpeechModel, data: SpeechData, audio_context_s: float) -> SpeechData:
    """Give all utterances that are trained on, and those of dev, what the encoder makes of them at `audio_context_s`.

    On the GPU of this process if there is one. In 16 bits, to which attention rounds them anyway.
    """
    network = model.build().eval()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.nn.Module.to(network, device)

    def encode(examples: Sequence[Example]) -> list[Example]:
        made: list[Example] = []
        for start in range(0, len(examples), _BATCH):
            part = without_states(examples[start : start + _BATCH])
            batch = {name: tensor.to(device) for name, tensor in model.collate(part, audio_context_s).items()}
            with autocast(device):
                states = model.run_encoder(network, batch).last_hidden_state.half().cpu().numpy()
            made += [replace(each, states=row) for each, row in zip(part, states, strict=True)]
        return made

    return replace(data, **{split: encode(getattr(data, split)) for split in _SPLITS})


def has_one_length(examples: Sequence[Example], model: SpeechModel, audio_context_s: float | None) -> bool:
    """Whether what the network takes of them has one length, however long the clips are."""
    return model.has_fixed_context and (audio_context_s is not None or examples[0].states is not None)


def without_states(examples: Sequence[Example]) -> list[Example]:
    """The utterances for a network whose encoder is to be run."""
    return [replace(each, states=None) for each in examples]
