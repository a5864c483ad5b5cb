"""Moonshine: an encoder-decoder over the raw waveform, without padding to a fixed length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from transformers import GenerationConfig, MoonshineConfig, PreTrainedModel

from stt_tune.speech.audio import SAMPLE_RATE
from stt_tune.speech.example import Example
from stt_tune.speech.families.base import Batch
from stt_tune.speech.families.seq2seq import Seq2SeqModel

_LONGEST_S = 64.0  # its authors cut training clips there
# samples: its convolutions, 127, 7 and 3 wide in steps of 64 and 3, make one position of them
_FEWEST = 127 + 64 * (7 + 3 * (3 - 1) - 1)


@dataclass(frozen=True)
class MoonshineModel(Seq2SeqModel):
    """A Moonshine checkpoint; features are samples, [samples].

    Source: Jeffries et al. 2024, "Moonshine: Speech Recognition for Live Transcription and Voice Commands".
    """

    feature_encoder: ClassVar[tuple[str, ...]] = ("conv1", "groupnorm", "conv2", "conv3")

    @classmethod
    def read_decoding(cls, network: PreTrainedModel, tokenizer: Any, language: str) -> dict[str, Any]:
        """The token that begins every transcript; each checkpoint knows one language."""
        config: Any = network.config
        ids = {name: getattr(config, name) for name in ("bos_token_id", "eos_token_id", "decoder_start_token_id")}
        decoding = GenerationConfig(**ids, pad_token_id=config.pad_token_id or config.eos_token_id)
        return {"generation_config": decoding, "prompt": (config.decoder_start_token_id,)}

    @property
    def max_context_s(self) -> float:
        """What it was trained on at most."""
        return _LONGEST_S

    @property
    def max_tokens(self) -> int:
        """The decoder's positions, less the prompt."""
        return int(self.config.max_position_embeddings) - len(self.prompt)

    def configure(self, regularisation: Mapping[str, float]) -> MoonshineConfig:
        """Set dropout, which it has in its attention only."""
        changes = {"attention_dropout": regularisation.get("dropout", 0.0)}
        return MoonshineConfig.from_dict({**self.config.to_dict(), **changes})

    def compute_features(self, samples: np.ndarray) -> np.ndarray:
        """The samples, as the extractor scales them."""
        made = self.feature_extractor(samples, sampling_rate=SAMPLE_RATE, return_tensors="np")
        return np.asarray(made["input_values"][0], dtype=np.float32)

    def encode(self, text: str) -> list[int]:
        """Tokens with the end token."""
        return [*self.tokenizer.encode(text, add_special_tokens=False), self.end_token]

    def find_misfit(self, seconds: float, text: str) -> str | None:
        """Beside the decoder's limit: the encoder makes nothing of the shortest clips."""
        if round(seconds * SAMPLE_RATE) < _FEWEST:
            return f"lasts {seconds:.3f} s, the model hears nothing below {_FEWEST / SAMPLE_RATE:.3f} s"
        return super().find_misfit(seconds, text)

    def collate_audio(self, examples: Sequence[Example], audio_context_s: float) -> Batch:
        """Pad: `input_values` and `attention_mask`, [b, samples]."""
        features = {"input_values": [example.features for example in examples]}
        length = round(max(audio_context_s, self.find_context(examples)) * self.steps_per_s)
        padded = self.feature_extractor.pad(
            features, padding="max_length", max_length=length, return_tensors="pt", return_attention_mask=True
        )
        return {"input_values": padded["input_values"].float(), "attention_mask": padded["attention_mask"]}

    def run_encoder(self, network: PreTrainedModel, batch: Batch) -> Any:
        """States [b, positions, width], with their mask."""
        return self.find_encoder(network)(batch["input_values"], attention_mask=batch["attention_mask"])
