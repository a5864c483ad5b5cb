"""What every model family can do."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
import xxhash
from transformers import GenerationConfig, PreTrainedConfig, PreTrainedModel
from transformers.initialization import no_init_weights

from stt_tune.speech.audio import SAMPLE_RATE
from stt_tune.speech.example import Example

IGNORED = -100  # the label of positions that nothing is to be learned at
Batch = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Loss:
    """The loss of a batch, so that batches of any size can be joined.

    Attributes:
        total: Sum over the tokens of the batch, in nats.
        tokens: How many they are.
    """

    total: torch.Tensor
    tokens: torch.Tensor


@dataclass(frozen=True)
class Heard:
    """What a network makes of a batch.

    Attributes:
        loss: Of the correct transcripts.
        texts: What it hears, decoded greedily, in order.
    """

    loss: Loss
    texts: list[str]


# A batch on the network's device, and the tokens of the longest transcript of all that are measured together.
Listen = Callable[[Batch, int], Heard]


@dataclass(frozen=True)
class SpeechModel(ABC):
    """A checkpoint as plain data, to be put once into shared memory, with what its family can do.

    Attributes:
        name: What the user called it.
        config: Its architecture.
        weights: Arrays by parameter name, floats in float32; read only where they come from shared
            memory.
        tokenizer: Text to token ids and back.
        feature_extractor: Audio to features.
    """

    name: str
    config: PreTrainedConfig
    weights: Mapping[str, np.ndarray]
    tokenizer: Any
    feature_extractor: Any

    published_generation: GenerationConfig | None = field(default=None, kw_only=True)
    """How the checkpoint is to be decoded by other tools; saved with what is trained from it."""

    auto_class: ClassVar[Any]
    """Which of transformers' classes finds the network of a config."""
    feature_encoder: ClassVar[tuple[str, ...]]
    """Names, in the encoder, of the convolutions at its bottom."""
    default_freeze: ClassVar[str] = "none"
    """What of it people leave untrained: `none`, `encoder` or `feature_encoder`."""
    has_fixed_context: ClassVar[bool] = False
    """Whether production pads every clip to the same length."""

    @classmethod
    def read_decoding(cls, network: PreTrainedModel, tokenizer: Any, language: str) -> dict[str, Any]:
        """What the family's class holds beside the parts that all have."""
        return {}

    @property
    @abstractmethod
    def max_context_s(self) -> float:
        """The longest clip that it takes, in seconds."""

    @property
    def production_context_s(self) -> float | None:
        """What production pads every clip to, in seconds; None: to nothing."""
        return self.max_context_s if self.has_fixed_context else None

    @abstractmethod
    def compute_features(self, samples: np.ndarray) -> np.ndarray:
        """Make of 16 kHz samples what the network takes, without padding."""

    @abstractmethod
    def encode(self, text: str) -> list[int]:
        """Make of a transcript the tokens that the network learns to write."""

    @abstractmethod
    def collate(self, examples: Sequence[Example], audio_context_s: float) -> Batch:
        """Make one batch of at least one example.

        Args:
            examples: Its rows.
            audio_context_s: What clips are padded to, in seconds; those that are longer are cut off where production
                pads to a fixed length, and all padded to the longest elsewhere.

        Returns:
            The network's inputs, and `labels` [b, t], which are -100 where nothing is learned.
        """

    @abstractmethod
    def compute_loss(self, network: PreTrainedModel, batch: Batch, *, label_smoothing: float = 0.0) -> Loss:
        """The loss of a batch on the network's device."""

    @abstractmethod
    def hear(self, network: PreTrainedModel, batch: Batch, longest: int) -> Heard:
        """Transcribe a batch and measure its loss.

        Args:
            network: In evaluation mode.
            batch: On the network's device.
            longest: Tokens of the longest transcript of all that are measured together.
        """

    def listener(self, network: PreTrainedModel) -> Listen:
        """What hears batches of one measurement, as `hear` does, while the network's weights stay what they are."""
        return functools.partial(self.hear, network)

    def run_encoder(self, network: PreTrainedModel, batch: Batch) -> Any:
        """The encoder's output on a batch, with its `last_hidden_state`; of families with a fixed context."""
        raise NotImplementedError

    @abstractmethod
    def configure(self, regularisation: Mapping[str, float]) -> PreTrainedConfig:
        """The architecture with `dropout`, `mask_time_prob` and `mask_feature_prob` set, 0 where left out."""

    def find_length(self, example: Example) -> int:
        """How long its audio is, in whatever features count time in."""
        return len(example.features)

    def find_context(self, examples: Sequence[Example]) -> float:
        """What the clips of a batch are padded to, in seconds, where nothing else is asked for."""
        return max(self.find_length(each) for each in examples) / self.steps_per_s

    @property
    def steps_per_s(self) -> int:
        """Steps of the features in a second."""
        return SAMPLE_RATE

    @property
    def feature_setting(self) -> str:
        """Everything that features depend on, beside the audio."""
        return f"{type(self).__name__} {self.feature_extractor.to_json_string()}"

    def can_be_captured(self, network: PreTrainedModel) -> bool:
        """Whether a pass in training never waits for the device, and batches come in few shapes."""
        return False

    @property
    def knows_spec_augment(self) -> bool:
        """Whether `mask_time_prob` and `mask_feature_prob` have an effect."""
        return hasattr(self.config, "mask_time_prob")

    def find_unsuited(self, configuration: Mapping[str, Any]) -> list[str]:
        """Say what of a configuration has no meaning for this family, one line a problem."""
        kind = self.config.model_type
        return [
            f"{name}: {kind} has no SpecAugment, found {configuration[name]!r}. Leave it out."
            for name in ("mask_time_prob", "mask_feature_prob")
            if configuration.get(name) and not self.knows_spec_augment
        ]

    def build(self, regularisation: Mapping[str, float] | None = None) -> PreTrainedModel:
        """Make a network of its own, with a copy of the weights, on the CPU.

        Args:
            regularisation: As `configure` takes it.
        """
        with no_init_weights():
            network: PreTrainedModel = self.auto_class.from_config(self.configure(regularisation or {}))
        state = {name: torch.tensor(array) for name, array in self.weights.items()}
        network.load_state_dict(state, strict=False, assign=True)
        network.tie_weights()
        return network

    def find_encoder(self, network: PreTrainedModel) -> torch.nn.Module:
        """The encoder of a network."""
        encoder: torch.nn.Module = network.get_encoder()
        return encoder

    def find_unwritable(self, texts: Sequence[str]) -> Counter[str]:
        """Characters of the transcripts that the vocabulary lacks, with how often each occurs."""
        return Counter()

    def extend_vocabulary(self, characters: Sequence[str]) -> SpeechModel:
        """The model with further characters, which it has to learn yet; for those that `find_unwritable` names."""
        return self

    def new_layers(self, network: PreTrainedModel) -> Sequence[torch.nn.Module]:
        """Parts of a network that hold what its checkpoint did not."""
        return ()

    def new_rows(self, parameter: str) -> slice:
        """Which rows of a network's parameter its checkpoint did not hold."""
        return slice(0)

    def find_misfit(self, seconds: float, text: str) -> str | None:
        """Say why the network cannot learn this transcript from a clip of this length; None if it can."""
        return None


def numpy_weights(network: PreTrainedModel) -> dict[str, np.ndarray]:
    """The state of a network, each tied weight once."""
    tied = set(getattr(network, "all_tied_weights_keys", None) or ())
    return {name: tensor.numpy() for name, tensor in network.state_dict().items() if name not in tied}


def hash_weights(model: SpeechModel) -> str:
    """Tell models apart by what training starts from, in hexadecimal digits."""
    digest = xxhash.xxh3_128()
    for name in sorted(model.weights):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(model.weights[name]).data)
    return digest.hexdigest()


def count_tokens(batch: Batch) -> torch.Tensor:
    """How many positions of a batch something is learned at."""
    return (batch["labels"] != IGNORED).sum()


def take_rows(batch: Batch, start: int, count: int) -> Batch:
    """Some of a batch's utterances."""
    return {name: tensor[start : start + count] for name, tensor in batch.items()}


def pad_labels(examples: Sequence[Example]) -> torch.Tensor:
    """The labels of a batch, [b, t], with -100 behind each end."""
    labels = torch.full((len(examples), max(len(each.labels) for each in examples)), IGNORED)
    for row, each in zip(labels, examples, strict=True):
        row[: len(each.labels)] = torch.tensor(each.labels)
    return labels
