"""Measure a network on a split: loss, greedy transcripts, errors per utterance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from transformers import GenerationMixin, WhisperForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput

from stt_tune.speech.features import Example, stack_features
from stt_tune.speech.model import SpeechModel
from stt_tune.speech.normalisers import Normalise
from stt_tune.speech.precision import autocast
from stt_tune.speech.rates import UtteranceErrors, count_errors

_BATCH = 32
_IGNORED = -100  # what cross-entropy leaves out


@dataclass(frozen=True)
class Measurement:
    """What a network does on a list of examples.

    Attributes:
        loss: Mean cross-entropy a token, in nats.
        utterances: The errors of each example, in order.
    """

    loss: float
    utterances: list[UtteranceErrors]


def collate(examples: Sequence[Example], prompt: Sequence[int], audio_context_s: float) -> dict[str, torch.Tensor]:
    """Make one batch.

    Returns:
        `input_features` [b, mel bins, frames], `decoder_input_ids` [b, t] (the prompt, then the
        transcript) and `labels` [b, t] (what follows each; -100 where nothing is to be learned:
        inside the prompt and behind the end token).
    """
    longest = max(len(example.labels) for example in examples)
    shape = (len(examples), len(prompt) - 1 + longest)
    inputs = torch.full(shape, examples[0].labels[-1])
    labels = torch.full(shape, _IGNORED)
    for i, example in enumerate(examples):
        tokens = torch.tensor(example.labels)
        labels[i, len(prompt) - 1 : len(prompt) - 1 + len(tokens)] = tokens
        given = torch.tensor([*prompt, *example.labels[:-1]])
        inputs[i, : len(given)] = given
    features = torch.tensor(stack_features(examples, audio_context_s))
    return {"input_features": features, "decoder_input_ids": inputs, "labels": labels}


def sum_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy summed over the tokens of a batch: logits [b, t, vocabulary], labels [b, t]."""
    return torch.nn.functional.cross_entropy(
        logits.float().flatten(0, 1), labels.flatten(), ignore_index=_IGNORED, reduction="sum"
    )


@torch.no_grad()  # not inference mode: autocast would cast the weights anew in every step
def measure(
    network: WhisperForConditionalGeneration,
    examples: Sequence[Example],
    model: SpeechModel,
    *,
    audio_context_s: float,
    normalise: Normalise,
) -> Measurement:
    """Transcribe `examples` greedily at the given context and count the errors.

    A transcript is cut off at one and a half times the longest reference and 8 tokens more, so
    that a network that repeats itself costs a bounded time.
    """
    network.eval()
    model.set_audio_context(network, audio_context_s)
    limit = min(3 * max(len(example.labels) for example in examples) // 2 + 8, model.config.max_target_positions // 2)
    hypotheses: list[str] = []
    loss = torch.zeros((), dtype=torch.float64)
    tokens = 0
    for start in range(0, len(examples), _BATCH):
        batch = collate(examples[start : start + _BATCH], model.prompt, audio_context_s)
        batch = {name: tensor.to(network.device) for name, tensor in batch.items()}
        with autocast(network.device.type):
            encoded = network.model.encoder(batch["input_features"]).last_hidden_state
            logits = network(encoder_outputs=(encoded,), decoder_input_ids=batch["decoder_input_ids"]).logits
            written = _transcribe(network, encoded, model.prompt, limit)
        loss += sum_loss(logits, batch["labels"]).double().cpu()
        tokens += int((batch["labels"] != _IGNORED).sum())
        hypotheses += model.tokenizer.batch_decode(written, skip_special_tokens=True)
    ids, references = [example.id for example in examples], [example.reference for example in examples]
    return Measurement(float(loss) / tokens, count_errors(ids, references, hypotheses, normalise))


def _transcribe(
    network: WhisperForConditionalGeneration, encoded: torch.Tensor, prompt: Sequence[int], limit: int
) -> torch.Tensor:
    """Decode greedily from encoder states [b, positions, width] to token ids [b, t].

    The general `generate` is called: Whisper's own adds long-form transcription, fallback
    temperatures and a second pass through the encoder, which one short clip does not need.
    """
    start = torch.tensor([list(prompt)] * len(encoded), device=encoded.device)
    generate = cast("Callable[..., torch.Tensor]", GenerationMixin.generate)
    return generate(
        network,
        encoder_outputs=BaseModelOutput(encoded),
        decoder_input_ids=start,
        decoder_attention_mask=torch.ones_like(start),
        attention_mask=torch.ones(encoded.shape[:2], dtype=torch.long, device=encoded.device),
        max_new_tokens=limit,
        do_sample=False,
        num_beams=1,
    )
