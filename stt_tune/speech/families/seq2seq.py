"""What encoder-decoder families share: teacher forcing, cross-entropy, greedy generation."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import torch
from transformers import AutoModelForSpeechSeq2Seq, GenerationConfig, GenerationMixin, PreTrainedModel

from stt_tune.speech.example import Example
from stt_tune.speech.families.base import IGNORED, Batch, Heard, Loss, SpeechModel

STATES = "encoder_states"
"""In a batch of utterances that have them, in place of the audio's part."""

# Tokens that transcripts are padded to a multiple of on GPUs, where what is done for one shape of batch serves all
# batches of that shape.
_STEP = 16

# The encoder's states [b, positions, width] and the most tokens of a transcript, to token ids [b, t].
Decode = Callable[[torch.Tensor, int], torch.Tensor]


@dataclass(frozen=True)
class Seq2SeqModel(SpeechModel):
    """An encoder-decoder.

    Attributes:
        generation_config: Which tokens its decoding suppresses.
        prompt: Token ids that every decoding starts with.
    """

    generation_config: GenerationConfig
    prompt: tuple[int, ...]

    auto_class: ClassVar[Any] = AutoModelForSpeechSeq2Seq

    def build(self, regularisation: Mapping[str, float] | None = None) -> PreTrainedModel:
        """Make a network of its own that decodes as the checkpoint does."""
        network = super().build(regularisation)
        network.generation_config = self.generation_config
        return network

    @property
    @abstractmethod
    def max_tokens(self) -> int:
        """The longest transcript that the decoder writes, in tokens."""

    def find_misfit(self, seconds: float, text: str) -> str | None:
        """The decoder has so many positions."""
        needed = len(self.encode(text))
        if needed <= self.max_tokens:
            return None
        return f"has a transcript of {needed} tokens, the model writes at most {self.max_tokens}"

    @abstractmethod
    def collate_audio(self, examples: Sequence[Example], audio_context_s: float) -> Batch:
        """The audio's part of a batch."""

    @abstractmethod
    def run_encoder(self, network: PreTrainedModel, batch: Batch) -> Any:
        """The encoder's output, as the network takes it back as `encoder_outputs`."""

    @property
    def end_token(self) -> int:
        """The token id that ends every transcript."""
        return int(cast("int", self.generation_config.eos_token_id))

    def collate(self, examples: Sequence[Example], audio_context_s: float) -> Batch:
        """Make one batch.

        Returns:
            The audio's part, `decoder_input_ids` [b, t] (the prompt, then the transcript) and `labels`
            [b, t] (what follows each; -100 inside the prompt and behind the end token).
        """
        longest = max(len(example.labels) for example in examples)
        longest = min(-(-longest // _STEP) * _STEP if torch.cuda.is_available() else longest, self.max_tokens)
        shape = (len(examples), len(self.prompt) - 1 + longest)
        inputs = torch.full(shape, self.end_token)
        labels = torch.full(shape, IGNORED)
        for i, example in enumerate(examples):
            tokens = torch.tensor(example.labels)
            labels[i, len(self.prompt) - 1 : len(self.prompt) - 1 + len(tokens)] = tokens
            given = torch.tensor([*self.prompt, *example.labels[:-1]])
            inputs[i, : len(given)] = given
        return {**self.collate_audio(examples, audio_context_s), "decoder_input_ids": inputs, "labels": labels}

    def compute_loss(self, network: PreTrainedModel, batch: Batch, *, label_smoothing: float = 0.0) -> Loss:
        """Cross-entropy of the next token."""
        inputs = {name: tensor for name, tensor in batch.items() if name not in ("labels", STATES)}
        if STATES in batch:
            inputs["encoder_outputs"] = self.run_encoder(network, batch)
        inputs |= self._mask(batch)
        # a cache of keys and values is for writing; here it costs memory, and layers differ by it to the compiler
        return _cross_entropy(network(**inputs, use_cache=False).logits, batch["labels"], label_smoothing)

    def _mask(self, batch: Batch) -> Batch:
        """The mask of the decoder, where transformers would look at the batch to make one: that waits for the GPU."""
        if not (batch["labels"].is_cuda and self.has_fixed_context):
            return {}
        return {"decoder_attention_mask": look_back(batch["decoder_input_ids"])}

    def hear(self, network: PreTrainedModel, batch: Batch, longest: int, decode: Decode | None = None) -> Heard:
        """Transcribe a batch and measure its loss, with one pass through the encoder.

        A transcript is cut off at one and a half times the longest reference and 8 tokens more, so
        that a network that repeats itself costs a bounded time.

        Args:
            network: In evaluation mode.
            batch: On the network's device.
            longest: Tokens of the longest transcript of all that are measured together.
            decode: How tokens are written; as transformers does it where left out.
        """
        encoded = self.run_encoder(network, batch)
        given = {"decoder_input_ids": batch["decoder_input_ids"], **self._mask(batch)}
        logits = network(encoder_outputs=encoded, **given, use_cache=False).logits
        limit = min(3 * longest // 2 + 8, self.max_tokens)
        tokens = decode(encoded.last_hidden_state, limit) if decode else self._generate(network, encoded, limit)
        texts = self.tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return Heard(_cross_entropy(logits, batch["labels"]), texts)

    def _generate(self, network: PreTrainedModel, encoded: Any, limit: int) -> torch.Tensor:
        """Decode greedily to token ids [b, t].

        The general `generate` is called: Whisper's own adds long-form transcription, fallback
        temperatures and a second pass through the encoder, which one short clip does not need.
        """
        states = encoded.last_hidden_state
        start = torch.tensor([list(self.prompt)] * len(states), device=states.device)
        generate = cast("Callable[..., torch.Tensor]", GenerationMixin.generate)
        return generate(
            network,
            encoder_outputs=encoded,
            decoder_input_ids=start,
            decoder_attention_mask=torch.ones_like(start),
            attention_mask=torch.ones(states.shape[:2], dtype=torch.long, device=states.device),
            max_new_tokens=limit,
            do_sample=False,
            num_beams=1,
        )


def look_back(tokens: torch.Tensor) -> torch.Tensor:
    """What each of the tokens [b, t] attends to, [b, 1, t, t]: itself and those before it.

    Without it, transformers looks whether positions are those of several texts, for which it waits for the device; and
    it makes another mask while a graph is captured.
    """
    count = tokens.shape[1]
    mask = torch.ones(count, count, dtype=torch.bool, device=tokens.device).tril()
    return mask.expand(len(tokens), 1, -1, -1)


def _cross_entropy(logits: torch.Tensor, labels: torch.Tensor, label_smoothing: float = 0.0) -> Loss:
    """Logits [b, t, vocabulary], labels [b, t]."""
    total = torch.nn.functional.cross_entropy(
        logits.float().flatten(0, 1),
        labels.flatten(),
        ignore_index=IGNORED,
        reduction="sum",
        label_smoothing=label_smoothing,
    )
    return Loss(total, (labels != IGNORED).sum())
