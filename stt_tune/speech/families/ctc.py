"""Connectionist temporal classification: an encoder that labels every frame."""

from __future__ import annotations

import copy
import functools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, ClassVar, cast

import numpy as np
import torch
from tokenizers.pre_tokenizers import Metaspace
from transformers import AutoModelForCTC, PreTrainedConfig, PreTrainedModel

from stt_tune.speech.audio import SAMPLE_RATE
from stt_tune.speech.example import Example
from stt_tune.speech.families.base import Batch, Heard, Loss, SpeechModel, count_tokens, pad_labels

_LONGEST_S = 60.0  # attention over whole clips takes memory with the square of their length
_HEADS = ("lm_head", "ctc_head")  # the last layer, as the families call it
_NEW_ROWS = 0.02  # deviation of a new character's weights: transformers' own for new layers
_SHORTEST_S = 0.5  # of a batch: time masks are 10 frames long


@dataclass(frozen=True)
class CtcModel(SpeechModel):
    """A CTC checkpoint; features are samples, or frames of a filter bank."""

    new_tokens: range = field(default=range(0), kw_only=True)
    """Ids of characters that the checkpoint's vocabulary has not."""

    auto_class: ClassVar[Any] = AutoModelForCTC
    inputs: ClassVar[str] = "input_values"
    """The network's name for the features."""
    dropouts: ClassVar[tuple[str, ...]] = (
        "hidden_dropout",
        "attention_dropout",
        "activation_dropout",
        "feat_proj_dropout",
        "final_dropout",
    )

    @property
    def max_context_s(self) -> float:
        """Clips may be longer than this in principle, at a price."""
        return _LONGEST_S

    def configure(self, regularisation: Mapping[str, float]) -> PreTrainedConfig:
        """Set dropout and SpecAugment; no layers are dropped.

        Layers dropped at random, a habit of pre-training, cost more than they give on some hundreds of cases.
        """
        config: Any = copy.deepcopy(self.config)
        config.ctc_loss_reduction, config.ctc_zero_infinity = "sum", True
        self._set_dropout(config, regularisation.get("dropout", 0.0))
        if self.knows_spec_augment:
            config.mask_time_prob = regularisation.get("mask_time_prob", 0.0)
            config.mask_feature_prob = regularisation.get("mask_feature_prob", 0.0)
            config.mask_feature_min_masks = 0  # WavLM's config lacks it, and its network wants it
            config.apply_spec_augment = config.mask_time_prob > 0 or config.mask_feature_prob > 0
        return cast("PreTrainedConfig", config)

    def find_unsuited(self, configuration: Mapping[str, Any]) -> list[str]:
        """Say what of a configuration has no meaning for this family, one line a problem."""
        problems = super().find_unsuited(configuration)
        if smoothing := configuration.get("label_smoothing_factor"):
            problems.append(f"label_smoothing_factor: the CTC loss has none, found {smoothing!r}. Leave it out.")
        if configuration.get("lora_rank") and configuration.get("freeze") == "encoder":
            problems.append("freeze: the adapters are in the encoder, so nothing would be trained. Leave it out.")
        on_attention = configuration.get("lora_targets", "attention") == "attention"
        if self.config.model_type == "wavlm" and configuration.get("lora_rank") and on_attention:
            # its attention takes the weights from the layers and computes by itself
            problems.append("lora_targets: wavlm's attention passes adapters by. Use all-linear.")
        return problems

    def build(self, regularisation: Mapping[str, float] | None = None) -> PreTrainedModel:
        """Make a network of its own; what masks put in the place of speech may be new to the checkpoint."""
        network = super().build(regularisation)
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm1d):
                module.__class__ = FixedNorm
                module.eval()
        for name, parameter in network.named_parameters():
            if name.endswith("masked_spec_embed") and name not in self.weights:
                torch.nn.init.uniform_(parameter)
        return network

    def _set_dropout(self, config: Any, dropout: float) -> None:
        config.layerdrop = 0.0
        for name in self.dropouts:
            setattr(config, name, dropout)

    def compute_features(self, samples: np.ndarray) -> np.ndarray:
        """What the checkpoint's extractor makes of the clip; time is the first axis."""
        made = self.feature_extractor(samples, sampling_rate=SAMPLE_RATE, return_tensors="np")
        features = np.asarray(made[self.inputs][0], dtype=np.float32)
        return features[: int(made["attention_mask"][0].sum())] if "attention_mask" in made else features

    def find_encoder(self, network: PreTrainedModel) -> torch.nn.Module:
        """Everything below the layer that names the tokens."""
        encoder: torch.nn.Module = network.base_model
        return encoder

    def encode(self, text: str) -> list[int]:
        """Tokens, in the letter case that the vocabulary has."""
        return list(self.tokenizer.encode(self.fit_case(text), add_special_tokens=False))

    def fit_case(self, text: str) -> str:
        """The text in capitals, or without, where the vocabulary has letters of one case only."""
        return self._change_case(text)

    @functools.cached_property
    def _change_case(self) -> Callable[[str], str]:
        """Found once: every transcript is asked for, and the vocabulary is long."""
        letters = {token for token in self.tokenizer.get_vocab() if len(token) == 1 and token.isalpha()}
        if letters and all(letter.upper() == letter for letter in letters):
            return str.upper
        return str.lower if letters and all(letter.lower() == letter for letter in letters) else str

    def find_unwritable(self, texts: Sequence[str]) -> Counter[str]:
        """Characters of the transcripts that the vocabulary lacks, with how often each occurs."""
        unknown = self.tokenizer.unk_token_id
        counts = Counter(character for text in texts for character in self.fit_case(text))
        return Counter({each: n for each, n in counts.items() if not each.isspace() and self._lacks(each, unknown)})

    def _lacks(self, character: str, unknown: int | None) -> bool:
        tokens = self.tokenizer.encode(character, add_special_tokens=False)
        return not tokens or unknown in tokens

    def extend_vocabulary(self, characters: Sequence[str]) -> CtcModel:
        """The model with further characters.

        Their rows in the last layer are small and random, so that the model hears none of them at first.
        """
        tokenizer, config = copy.deepcopy(self.tokenizer), copy.deepcopy(self.config)
        tokenizer.add_tokens(list(characters))
        pieces = getattr(getattr(tokenizer, "backend_tokenizer", None), "pre_tokenizer", None)
        if isinstance(pieces, Metaspace):  # else what follows a new character would begin a word
            pieces.prepend_scheme = "first"
        rng = np.random.default_rng(0)
        weights = dict(self.weights)
        # a layer may have more rows than there are tokens: such a row, of no meaning so far, is a new character's
        start = min(len(self.tokenizer), int(self.config.vocab_size))
        for name in _HEADS:
            for part in (f"{name}.weight", f"{name}.bias"):
                if part in weights:
                    old = weights[part]
                    rows = rng.normal(0, _NEW_ROWS, (len(tokenizer) - start, *old.shape[1:]))
                    weights[part] = np.concatenate([old[:start], rows.astype(old.dtype), old[len(tokenizer) :]])
        config.vocab_size = max(config.vocab_size, len(tokenizer))
        new = range(start, len(tokenizer))
        return replace(self, tokenizer=tokenizer, config=config, weights=weights, new_tokens=new)

    def new_layers(self, network: PreTrainedModel) -> Sequence[torch.nn.Module]:
        """The last layer, where the vocabulary has been extended."""
        names = dict(network.named_modules())
        return [names[name] for name in _HEADS if self.new_tokens and name in names]

    def new_rows(self, parameter: str) -> slice:
        """Those of the new characters, in the last layer."""
        is_last = parameter.partition(".")[0] in _HEADS
        return slice(self.new_tokens.start, self.new_tokens.stop) if is_last else super().new_rows(parameter)

    def find_misfit(self, seconds: float, text: str) -> str | None:
        """CTC needs a frame for each token, and one more between two that are alike."""
        labels = self.encode(text)
        needed = len(labels) + sum(a == b for a, b in pairwise(labels))
        frames = self.count_frames(round(seconds * SAMPLE_RATE))
        if frames >= needed:
            return None
        return f"lasts {seconds:.2f} s, which is {frames} frames to this model; its transcript needs {needed}"

    def count_frames(self, samples: int) -> int:
        """How many frames the network labels in a clip."""
        length = samples
        for kernel, stride in zip(self.config.conv_kernel, self.config.conv_stride, strict=True):
            length = (length - kernel) // stride + 1
        return max(length, 0)

    def collate(self, examples: Sequence[Example], audio_context_s: float) -> Batch:
        """Pad: the features [b, time, ...], `labels` [b, t] and, where the model takes one, a mask."""
        seconds = max(audio_context_s, self.find_context(examples), _SHORTEST_S)
        padded = self.feature_extractor.pad(
            {self.inputs: [example.features for example in examples]},
            padding="max_length",
            max_length=round(seconds * self.steps_per_s),
            return_tensors="pt",
            return_attention_mask=self.feature_extractor.return_attention_mask,
        )
        return {**{name: padded[name] for name in padded}, "labels": pad_labels(examples)}

    def compute_loss(self, network: PreTrainedModel, batch: Batch, *, label_smoothing: float = 0.0) -> Loss:
        """The CTC loss; smoothing has no meaning for it."""
        return Loss(network(**batch).loss, count_tokens(batch))

    def hear(self, network: PreTrainedModel, batch: Batch, longest: int) -> Heard:
        """Take the likeliest token of every frame."""
        outputs = network(**batch)
        tokens = outputs.logits.argmax(dim=-1)
        lengths = self.frame_lengths(network, batch)
        blank = self.config.pad_token_id
        tokens[torch.arange(tokens.shape[1], device=tokens.device) >= lengths[:, None]] = blank
        texts = self.tokenizer.batch_decode(tokens)
        return Heard(Loss(outputs.loss, count_tokens(batch)), texts)

    def frame_lengths(self, network: PreTrainedModel, batch: Batch) -> torch.Tensor:
        """Frames of each clip, [b]."""
        mask = batch.get("attention_mask")
        steps = torch.full_like(batch["labels"][:, 0], batch[self.inputs].shape[1]) if mask is None else mask.sum(-1)
        lengths: torch.Tensor = cast("Any", network)._get_feat_extract_output_lengths(steps)
        return lengths


class FixedNorm(torch.nn.BatchNorm1d):
    """Normalises by the statistics of the checkpoint in training, too.

    A batch's own would change with how it is divided, and move what is frozen.
    """

    def train(self, mode: bool = True) -> FixedNorm:
        """Stay as it is."""
        return super().train(False)


@dataclass(frozen=True)
class WaveformCtcModel(CtcModel):
    """wav2vec 2.0, HuBERT and WavLM: over the raw waveform."""

    feature_encoder: ClassVar[tuple[str, ...]] = ("feature_extractor",)
    # as in its authors' recipes; trained, it forgets on little data
    default_freeze: ClassVar[str] = "feature_encoder"


@dataclass(frozen=True)
class Wav2Vec2BertModel(CtcModel):
    """w2v-BERT 2.0, over a filter bank of 50 frames a second."""

    feature_encoder: ClassVar[tuple[str, ...]] = ("feature_projection",)
    inputs: ClassVar[str] = "input_features"
    dropouts: ClassVar[tuple[str, ...]] = (*CtcModel.dropouts, "conformer_conv_dropout")

    @property
    def steps_per_s(self) -> int:
        """Two frames of 10 ms are one step."""
        return 50

    def count_frames(self, samples: int) -> int:
        """As many as the features have, fewer where an adapter thins them out."""
        length = samples * self.steps_per_s // SAMPLE_RATE
        for _ in range(self.config.num_adapter_layers if self.config.add_adapter else 0):
            length = -(-length // self.config.adapter_stride)
        return length


@dataclass(frozen=True)
class ParakeetModel(CtcModel):
    """Parakeet-CTC, over a filter bank of 100 frames a second, of which eight are one step."""

    feature_encoder: ClassVar[tuple[str, ...]] = ("subsampling",)
    inputs: ClassVar[str] = "input_features"
    dropouts: ClassVar[tuple[str, ...]] = ("dropout", "dropout_positions", "activation_dropout", "attention_dropout")

    @property
    def steps_per_s(self) -> int:
        """One step is 10 ms."""
        return 100

    def _set_dropout(self, config: Any, dropout: float) -> None:
        super()._set_dropout(config.encoder_config, dropout)

    def find_encoder(self, network: PreTrainedModel) -> torch.nn.Module:
        """Everything below the layer that names the tokens."""
        return network.get_submodule("encoder")

    def count_frames(self, samples: int) -> int:
        """One in eight of the features'."""
        factor: int = self.config.encoder_config.subsampling_factor
        return -(-(samples * self.steps_per_s // SAMPLE_RATE) // factor)

    def frame_lengths(self, network: PreTrainedModel, batch: Batch) -> torch.Tensor:
        """Frames of each clip, [b]."""
        lengths: torch.Tensor = cast("Any", network)._get_subsampling_output_length(batch["attention_mask"].sum(-1))
        return lengths
