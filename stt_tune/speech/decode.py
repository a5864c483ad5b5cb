"""Measure a network on a split: loss, greedy transcripts, errors per utterance."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from transformers import PreTrainedModel

from stt_tune.errors import TrainingMemoryError
from stt_tune.speech.batching import make_ahead
from stt_tune.speech.example import Example
from stt_tune.speech.families.base import Batch, Heard, Listen, SpeechModel, take_rows
from stt_tune.speech.frozen import has_one_length, without_states
from stt_tune.speech.kernels import without_plans
from stt_tune.speech.memory import free, halve, ran_out
from stt_tune.speech.normalisers import Normalise, load_normaliser
from stt_tune.speech.precision import autocast
from stt_tune.speech.rates import KINDS, UtteranceErrors, count_errors, summarise

_MOST = {"cpu": 32, "cuda": 128}  # utterances that are heard at a time, by type of device
# A CPU hears so many seconds of audio at a time, padding included, but no fewer utterances.
_CPU_AUDIO_S, _CPU_LEAST = 240.0, 8


@dataclass(frozen=True)
class Measurement:
    """What a network does on a list of examples.

    Attributes:
        loss: Mean loss a token, in nats.
        utterances: The errors of each example, in order.
    """

    loss: float
    utterances: list[UtteranceErrors]


@torch.no_grad()  # not inference mode: autocast would cast the weights anew in every step
@without_plans()
def measure(
    network: PreTrainedModel,
    examples: Sequence[Example],
    model: SpeechModel,
    *,
    audio_context_s: float | None,
    normalise: Normalise,
) -> Measurement:
    """Transcribe `examples` greedily and count the errors.

    Args:
        network: One that `model` has built.
        examples: At least one.
        model: Knows how.
        audio_context_s: What clips are padded to, in seconds; None: to the longest of those that are read together.
        normalise: Applied to references and hypotheses.

    Raises:
        TrainingMemoryError: Not even one example fits into memory.
    """
    network.eval()
    device = network.device.type
    listen = _set_up(model, network)
    is_padded = has_one_length(examples, model, audio_context_s)

    def measure_length(i: int) -> tuple[int, int]:
        """Of the audio, where that is not padded to a fixed length, and then of the transcript."""
        return 0 if is_padded else model.find_length(examples[i]), len(examples[i].labels)

    # longest first: memory runs out at once, or not at all; and what is read or written together is about as long
    order = sorted(range(len(examples)), key=measure_length, reverse=True)
    longest = max(len(example.labels) for example in examples)
    hypotheses = [""] * len(examples)
    total, tokens = 0.0, 0
    size = _MOST[device]

    def find_context(these: Sequence[Example]) -> float:
        return audio_context_s or model.find_context(these)

    def collate(chunk: Sequence[int]) -> Batch:
        these = [examples[i] for i in chunk]
        return model.collate(these, find_context(these))

    chunks = list(_divide(order, lambda i: _find_size(device, find_context([examples[i]]))))

    for chunk, batch in zip(chunks, make_ahead(collate, chunks), strict=True):
        start = 0
        while start < len(chunk):
            indices = chunk[start : start + size]
            heard = _try_to_hear(listen, take_rows(batch, start, len(indices)), device, longest)
            if heard is None:
                size = halve(len(indices))
                continue
            start += size
            total += float(heard.loss.total)
            tokens += int(heard.loss.tokens)
            for i, text in zip(indices, heard.texts, strict=True):
                hypotheses[i] = text
    ids, references = [example.id for example in examples], [example.reference for example in examples]
    return Measurement(total / tokens, count_errors(ids, references, hypotheses, normalise))


def _divide(order: Sequence[int], find_size: Callable[[int], int]) -> Iterator[Sequence[int]]:
    """Make batches, each as large as its first utterance says."""
    start = 0
    while start < len(order):
        end = start + find_size(order[start])
        yield order[start:end]
        start = end


def _find_size(device: str, context_s: float) -> int:
    """How many utterances padded to `context_s` are heard at a time."""
    most = _MOST[device]
    return most if device == "cuda" else min(max(int(_CPU_AUDIO_S / context_s), _CPU_LEAST), most)


def _set_up(model: SpeechModel, network: PreTrainedModel) -> Listen:
    """What hears batches; it may take memory of its own, which garbage may lie in."""
    for _attempt in range(2):
        try:
            return model.listener(network)
        except RuntimeError as error:
            if not ran_out(error):
                raise
        free()
    raise TrainingMemoryError("memory ran out before one utterance was heard: a smaller model is needed.")


def measure_at_full_context(
    network: PreTrainedModel, examples: Sequence[Example], model: SpeechModel, normaliser: str
) -> list[UtteranceErrors]:
    """Transcribe `examples` at the context that production uses, and count the errors.

    Args:
        network: One that `model` has built.
        examples: Where there are none, there are no errors.
        model: Knows how.
        normaliser: One of `NORMALISERS`.

    Raises:
        TrainingMemoryError: Not even one example fits into memory.
    """
    if not examples:
        return []
    if torch.cuda.is_available():
        free()  # the training before has left its graphs and moments there, in cycles
    normalise, examples = load_normaliser(normaliser), without_states(examples)
    context_s = model.production_context_s
    return measure(network, examples, model, audio_context_s=context_s, normalise=normalise).utterances


def measure_untrained(model: SpeechModel, examples: Sequence[Example], normaliser: str) -> list[UtteranceErrors]:
    """Measure a model as it is, on the GPU if there is one; see `measure_at_full_context`."""
    network = model.build()
    if torch.cuda.is_available():
        torch.nn.Module.cuda(network)  # transformers' own is typed for subclasses only
    return measure_at_full_context(network, examples, model, normaliser)


def _try_to_hear(listen: Listen, batch: Batch, device: str, longest: int) -> Heard | None:
    """Transcribe one batch; None where memory has run out."""
    try:
        with autocast(device):
            return listen({name: tensor.to(device) for name, tensor in batch.items()}, longest)
    except RuntimeError as error:
        if not ran_out(error):
            raise
    return None


def summarise_kinds(examples: Sequence[Example], utterances: Sequence[UtteranceErrors]) -> dict[str, float]:
    """The word error rate over the cases of each kind that there are: `wer_deletion` and so on."""
    cases = {
        kind: [errors for example, errors in zip(examples, utterances, strict=True) if example.kind == kind]
        for kind in KINDS
    }
    return {f"wer_{kind}": summarise(these).wer for kind, these in cases.items() if these}


def list_cases(examples: Sequence[Example], utterances: Sequence[UtteranceErrors]) -> list[dict[str, Any]]:
    """The errors of each utterance by name, with `kind`, which is the case's, and who speaks."""
    return [
        {**asdict(errors), "kind": example.kind, "speaker": example.speaker}
        for example, errors in zip(examples, utterances, strict=True)
    ]
