"""Whisper in all sizes, English-only and multilingual, and its distilled forms."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import numpy as np
import torch
from transformers import (
    GenerationConfig,
    PreTrainedModel,
    WhisperConfig,
    WhisperTokenizer,
)
from transformers.modeling_outputs import BaseModelOutput

from stt_tune.errors import SettingsError
from stt_tune.speech.audio import SAMPLE_RATE
from stt_tune.speech.example import Example
from stt_tune.speech.families.attention import attend_quickly
from stt_tune.speech.families.base import Batch, Heard, Listen, Loss
from stt_tune.speech.families.seq2seq import STATES, Seq2SeqModel
from stt_tune.speech.families.silence import Positions, condense, condense_on, weigh
from stt_tune.speech.greedy import GreedyDecoder
from stt_tune.speech.precision import copy_in, find_type

_POSITIONS_PER_S = 50  # the encoder's: 100 mel frames a second, halved by its second convolution
_FRAMES = 2  # to a position
_HOP = 160  # samples between two mel frames
# Silence after the clip that makes its last frames the same as inside a longer padded one: more
# than the analysis window of 400 samples, which reaches over the end.
_TAIL = 3 * _HOP
_LATEST_START = 50  # of the first timestamp, in steps of 0.02 s
_FIRST_MULTILINGUAL_VOCABULARY = 51865  # English-only checkpoints have one token fewer


@dataclass(frozen=True)
class WhisperModel(Seq2SeqModel):
    """A Whisper checkpoint; features are log-mel, [mel bins, frames], up to the clip's end."""

    feature_encoder: ClassVar[tuple[str, ...]] = ("conv1", "conv2")
    has_fixed_context: ClassVar[bool] = True

    @classmethod
    def read_decoding(cls, network: PreTrainedModel, tokenizer: WhisperTokenizer, language: str) -> dict[str, Any]:
        """Suppressed tokens, and the prompt with language and task."""
        return {
            "generation_config": keep_suppression(network.generation_config),
            "published_generation": network.generation_config,
            "prompt": build_prompt(tokenizer, network.config.vocab_size, language),
        }

    @property
    def max_context_s(self) -> float:
        """The encoder's positions, 30 s."""
        return float(self.config.max_source_positions / _POSITIONS_PER_S)

    @property
    def max_tokens(self) -> int:
        """The decoder's positions, less the prompt."""
        return int(self.config.max_target_positions) - len(self.prompt)

    def configure(self, regularisation: Mapping[str, float]) -> WhisperConfig:
        """Set dropout and SpecAugment."""
        masked = {name: regularisation.get(name, 0.0) for name in ("mask_time_prob", "mask_feature_prob")}
        changes = {
            "dropout": regularisation.get("dropout", 0.0),
            "apply_spec_augment": any(masked.values()),
            **masked,
        }
        return WhisperConfig.from_dict({**self.config.to_dict(), **changes})

    def build(self, regularisation: Mapping[str, float] | None = None) -> PreTrainedModel:
        """Make a network of its own that computes as is fast."""
        network: Any = super().build(regularisation)
        network.get_encoder().embed_positions.__class__ = Positions
        attend_quickly(network)
        network.get_encoder().layers[0].register_forward_pre_hook(_lay_out)
        network.proj_out.__class__ = EvenProjection
        return cast("PreTrainedModel", network)

    @property
    def steps_per_s(self) -> int:
        """Mel frames."""
        return _FRAMES * _POSITIONS_PER_S

    def find_length(self, example: Example) -> int:
        """Frames of its features."""
        return int(example.features.shape[1])

    def find_context(self, examples: Sequence[Example]) -> float:
        """As long as the longest clip; on GPUs one of few lengths, as each shape of batch has to be set up there."""
        seconds = math.ceil(max(self.find_length(each) for each in examples) / _FRAMES) / _POSITIONS_PER_S
        if torch.cuda.is_available():
            seconds = round_up(seconds)
        return min(seconds, self.max_context_s)

    def count_positions(self, audio_context_s: float) -> int:
        """Of the encoder, for clips padded to so many seconds and with condensed silence behind."""
        return len(condense(round(audio_context_s * _POSITIONS_PER_S), self.config.max_source_positions)[0])

    def choose_positions(self, network: PreTrainedModel, count: int) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Which rows of the position table those are, and what is added to the logits of attention to each."""
        return condense_on(network.device, network.dtype, count, self.config.max_source_positions)

    def fit(self, network: PreTrainedModel, batch: Batch) -> None:
        """Let a network take clips as long as a batch's: its position table is fixed, so any part of it will do."""
        count = batch[STATES].shape[1] if STATES in batch else batch["input_features"].shape[-1] // _FRAMES
        encoder: Any = self.find_encoder(network)
        rows, logits = self.choose_positions(network, count)
        if encoder.embed_positions.rows is rows:
            return  # as the batch before
        encoder.config.max_source_positions = encoder.embed_positions.num_embeddings = count
        encoder.embed_positions.rows = rows
        weigh(network, logits)

    def compute_loss(self, network: PreTrainedModel, batch: Batch, *, label_smoothing: float = 0.0) -> Loss:
        """Cross-entropy of the next token."""
        self.fit(network, batch)
        return super().compute_loss(network, batch, label_smoothing=label_smoothing)

    def can_be_captured(self, network: PreTrainedModel) -> bool:
        """Clips have few lengths; masks of SpecAugment are drawn on the CPU."""
        config: Any = network.config
        return not (config.apply_spec_augment or config.encoder_layerdrop or config.decoder_layerdrop)

    def compute_features(self, samples: np.ndarray) -> np.ndarray:
        """Log-mel features of one clip, [mel bins, frames], with one frame of silence at its end."""
        length = (len(samples) // _HOP + 1) * _HOP + _TAIL
        padded = self.feature_extractor(
            samples, sampling_rate=SAMPLE_RATE, padding="max_length", max_length=length, return_tensors="np"
        )
        return np.ascontiguousarray(padded["input_features"][0], dtype=np.float32)

    def encode(self, text: str) -> list[int]:
        """Tokens with the end token, without the prompt; words carry their leading space, as in pre-training."""
        return [*self.tokenizer.encode(f" {text}", add_special_tokens=False), self.end_token]

    def collate_audio(self, examples: Sequence[Example], audio_context_s: float) -> Batch:
        """Pad to the context, and with silence: `input_features` [b, mel bins, frames]; or the encoder's `states`."""
        states = [example.states for example in examples if example.states is not None]
        if len(states) == len(examples):
            return {STATES: torch.from_numpy(np.stack(states))}
        frames = _FRAMES * self.count_positions(audio_context_s)
        # a GPU's first product casts them, and half the bytes are sent there sooner
        dtype = find_type("cuda") if torch.cuda.is_available() else torch.float32
        stacked = torch.empty((len(examples), len(examples[0].features), frames), dtype=dtype)
        row = np.empty(stacked.shape[1:], dtype=np.float32)  # torch wants arrays that it may write to
        for place, example in zip(stacked, examples, strict=True):
            kept = example.features[:, :frames]
            row[:, : kept.shape[1]] = kept
            row[:, kept.shape[1] :] = example.features[0, -1]
            place.copy_(torch.from_numpy(row))
        return {"input_features": stacked}

    def listener(self, network: PreTrainedModel) -> Listen:
        """On a GPU, of a copy in the precision that is fast there, so that no weight is cast for each token."""
        if network.device.type != "cuda":
            return super().listener(network)
        quick = copy_in(find_type("cuda"), network)
        decode = GreedyDecoder(quick, self.prompt, self.generation_config)

        def listen(batch: Batch, longest: int) -> Heard:
            audio = {name: tensor.to(quick.dtype) for name, tensor in batch.items() if tensor.is_floating_point()}
            try:
                with torch.autocast("cuda", enabled=False):
                    return self.hear(quick, {**batch, **audio}, longest, decode)
            except RuntimeError:
                decode.forget()  # memory may have run out
                raise

        return listen

    def run_encoder(self, network: PreTrainedModel, batch: Batch) -> BaseModelOutput:
        """States [b, positions, width]."""
        self.fit(network, batch)
        if STATES in batch:
            return BaseModelOutput(batch[STATES].to(network.dtype))
        return BaseModelOutput(self.find_encoder(network)(batch["input_features"]).last_hidden_state)


class EvenProjection(torch.nn.Linear):
    """To a vocabulary of any size; GPUs' fast kernels take multiples of 8 only, so there it is filled up to one."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Logits [.., vocabulary]."""
        missing = -self.out_features % 8
        if not (input.is_cuda and missing):
            return super().forward(input)
        weight = torch.nn.functional.pad(self.weight, (0, 0, 0, missing))
        return torch.nn.functional.linear(input, weight)[..., : self.out_features]


def _lay_out(layer: torch.nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Begin the residual stream position by position, and in bf16 where products give it.

    It keeps the layout that it begins with, and convolutions give channel by channel, from which each layer would copy.
    GPUs' layers wait for its memory, and float32 is twice that; the gradient is as far from that of float32 as without
    (cosine 0.9997, tiny.en).
    """
    hidden, *others = args
    is_bf16 = torch.get_autocast_dtype("cuda") == torch.bfloat16  # what the GPU can is no question for a compiler
    is_narrowed = hidden.is_cuda and torch.is_autocast_enabled("cuda") and is_bf16
    return ((hidden.bfloat16() if is_narrowed else hidden).contiguous(), *others)


def round_up(seconds: float) -> float:
    """To one of four lengths from each power of two to the next: 1, 1.25, 1.5, 1.75, 2, 2.5, ..., of which few are."""
    step = 2.0 ** (math.floor(math.log2(seconds)) - 2)
    return math.ceil(seconds / step) * step


def keep_suppression(generation: GenerationConfig) -> GenerationConfig:
    """Keep what greedy decoding of one short clip needs; forced tokens go, as the prompt is ours to give."""
    kept = (
        "suppress_tokens",
        "begin_suppress_tokens",
        "bos_token_id",
        "eos_token_id",
        "pad_token_id",
        "decoder_start_token_id",
    )
    return GenerationConfig(**{name: getattr(generation, name, None) for name in kept})


def build_generation(
    tokenizer: WhisperTokenizer, config: Mapping[str, Any], given: Mapping[str, Any]
) -> GenerationConfig:
    """How a checkpoint decodes that came without its authors' generation config, as theirs say.

    Args:
        tokenizer: The checkpoint's.
        config: Its own, by the names of `WhisperConfig`.
        given: What is known: suppressed and special tokens.
    """
    is_multilingual = config["vocab_size"] >= _FIRST_MULTILINGUAL_VOCABULARY
    ids = tokenizer.get_vocab()
    # the vocabulary's order: start, languages, tasks
    first, last = ids["<|startoftranscript|>"], ids["<|translate|>"]
    multilingual = {
        "lang_to_id": {token: number for token, number in ids.items() if first < number < last},
        "task_to_id": {task: ids[f"<|{task}|>"] for task in ("transcribe", "translate")},
        "task": "transcribe",
    }
    return GenerationConfig(
        **given,
        **(multilingual if is_multilingual else {}),
        is_multilingual=is_multilingual,
        max_length=config["max_target_positions"],
        max_initial_timestamp_index=_LATEST_START,
        no_timestamps_token_id=ids["<|notimestamps|>"],
        prev_sot_token_id=ids["<|startofprev|>"],
        return_timestamps=False,
    )


def build_prompt(tokenizer: WhisperTokenizer, vocabulary: int, language: str) -> tuple[int, ...]:
    """The tokens that begin every transcript: multilingual checkpoints are told language and task.

    Raises:
        SettingsError: The model does not know the language.
    """
    task = [f"<|{language}|>", "<|transcribe|>"] if vocabulary >= _FIRST_MULTILINGUAL_VOCABULARY else []
    tokens = ["<|startoftranscript|>", *task, "<|notimestamps|>"]
    ids: list[int] = [cast("int", tokenizer.convert_tokens_to_ids(token)) for token in tokens]
    unknown = tokenizer.unk_token_id
    for token, token_id in zip(tokens, ids, strict=True):
        if token_id == unknown and token != tokenizer.unk_token:
            raise SettingsError(f"--language must be a code that the model knows, found {language!r} ({token}).")
    return tuple(ids)
