"""What of a network is trained, and how far it moves: freezing, low-rank adapters, weight interpolation."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from transformers import PreTrainedModel

from stt_tune.errors import SettingsError
from stt_tune.speech.families.base import SpeechModel
from stt_tune.speech.hyperparameters import Hyperparameters

# The projections of attention, as the families call them.
_ATTENTION = ("q_proj", "k_proj", "v_proj", "out_proj", "o_proj", "linear_q", "linear_k", "linear_v", "linear_out")


class Adaptation:
    """How one training may change a network.

    Attributes:
        network: The network; adapters, where there are any, are in it.
    """

    def __init__(self, network: PreTrainedModel, model: SpeechModel, chosen: Hyperparameters) -> None:
        """Freeze what is not to be trained, and put adapters in.

        Raises:
            SettingsError: Adapters are asked for, and peft is not installed.
        """
        self.network = network
        self._tuner = _add_adapters(network, chosen) if chosen.lora_rank else None
        for part in model.new_layers(network) if self._tuner is not None else ():
            part.requires_grad_(True)  # adapters change what is there; what is new has to be learned
        _freeze(network, model, chosen.freeze or model.default_freeze)
        self._base_weight = chosen.base_weight
        self._new_rows = model.new_rows
        self._base = {name: each.detach().clone() for name, each in self._trained()} if self._base_weight else {}

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Give the network, inside the block, the weights that would be kept if training ended now."""
        if not self._base:
            yield
            return
        own = {name: each.detach().clone() for name, each in self._trained()}
        self._interpolate()
        try:
            yield
        finally:
            with torch.no_grad():
                for name, each in self._trained():
                    each.copy_(own[name])

    def finish(self) -> None:
        """Leave the network with the weights that are kept, and without adapters."""
        self._interpolate()
        if self._tuner is not None:
            self._tuner.merge_and_unload()

    @torch.no_grad()
    def _interpolate(self) -> None:
        """Move each weight a part of the way back to the base model's; what that has not stays as it was learned.

        Source: Wortsman et al. 2022, "Robust fine-tuning of zero-shot models".
        """
        for name, each in self._trained() if self._base else ():
            new = self._new_rows(name)
            learned = each[new].clone()
            each.lerp_(self._base[name].to(each.device), self._base_weight)
            each[new] = learned

    def _trained(self) -> Iterator[tuple[str, torch.nn.Parameter]]:
        return ((name, each) for name, each in self.network.named_parameters() if each.requires_grad)


def _freeze(network: PreTrainedModel, model: SpeechModel, what: str) -> None:
    encoder = model.find_encoder(network)
    if what == "encoder":
        encoder.requires_grad_(False)
    elif what == "feature_encoder":
        for name in model.feature_encoder:
            encoder.get_submodule(name).requires_grad_(False)


def _add_adapters(network: PreTrainedModel, chosen: Hyperparameters) -> Any:
    """Put low-rank adapters in; everything else is frozen.

    Source: Hu et al. 2022, "LoRA: Low-Rank Adaptation of Large Language Models".
    """
    peft = import_peft()
    config = peft.LoraConfig(
        r=chosen.lora_rank,
        lora_alpha=chosen.lora_alpha,
        lora_dropout=chosen.lora_dropout,
        target_modules="all-linear" if chosen.lora_targets == "all-linear" else list(_ATTENTION),
    )
    return peft.LoraModel(network, config, "default")


def import_peft() -> Any:
    """The library of adapters.

    Raises:
        SettingsError: It is not installed.
    """
    try:
        import peft
    except ImportError as error:
        raise SettingsError("lora_rank: adapters need peft. Install it: pip install 'stt-tune[lora]'.") from error
    return peft
