"""How near the gradient with condensed silence comes to the gradient with all of it: its cosine, and its length.

For several numbers of positions that the silence is condensed into, and for silence that is cut off; with the base
model, and after a few steps of training at 30 s. Trainings with different seeds lie so far apart that their error
rates take many of them to tell this.

python -m tests.benchmarks.gradients MANIFEST [--model tiny.en] [--steps 12]
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from stt_tune.speech.example import Example
from stt_tune.speech.families import silence
from stt_tune.speech.families.whisper import WhisperModel
from tests.benchmarks.context import Cut, build_parser, find_longest, load_task

_POSITIONS = (24, 50, 100, 200)
_BATCH, _BATCHES = 8, 3
_LEARNING_RATE = 5e-5


def _find_gradient(
    network: Any, model: WhisperModel, batches: Sequence[Sequence[Example]], context_s: float | None
) -> torch.Tensor:
    network.zero_grad()
    for batch in batches:
        _add_gradient(network, model, batch, context_s or model.find_context(batch))
    return torch.cat([each.grad.flatten() for each in network.parameters() if each.grad is not None])


def _add_gradient(network: Any, model: WhisperModel, batch: Sequence[Example], context_s: float) -> None:
    loss = model.compute_loss(network, model.collate(batch, context_s))
    (loss.total / loss.tokens).backward()


def _list_settings(model: WhisperModel, clip_s: float) -> Iterator[tuple[str, WhisperModel, float | None]]:
    cut = Cut(**vars(model))
    yield "silence cut off", cut, clip_s
    yield "10 s, cut", cut, 10.0
    for positions in _POSITIONS:
        silence.POSITIONS = positions
        silence.condense.cache_clear()
        silence.condense_on.cache_clear()
        yield f"silence in {positions} positions", model, clip_s
        yield f"the same, behind the longest clip of each batch of {_BATCH}", model, None


def _print(network: Any, model: WhisperModel, batches: Sequence[Sequence[Example]], clip_s: float) -> None:
    whole = _find_gradient(network, model, batches, model.max_context_s)
    for name, each, context_s in _list_settings(model, clip_s):
        gradient = _find_gradient(network, each, batches, context_s)
        cosine = torch.cosine_similarity(whole, gradient, dim=0)
        print(f"| {name} | {cosine:.3f} | {gradient.norm() / whole.norm():.2f} |", flush=True)


def main() -> None:
    """Print two tables."""
    parser = build_parser(__doc__)
    parser.add_argument("--steps", type=int, default=12)
    asked = parser.parse_args()
    task = load_task(asked)
    model: Any = task.model
    batches = [task.data.train[i : i + _BATCH] for i in range(0, len(task.data.train) - _BATCH, _BATCH)]
    network: Any = model.build()  # dropout is off
    print("| base model | cosine | length |")
    _print(network, model, batches[:_BATCHES], find_longest(task))
    optimiser = torch.optim.AdamW([each for each in network.parameters() if each.requires_grad], lr=_LEARNING_RATE)
    for batch in batches[_BATCHES : _BATCHES + asked.steps]:
        optimiser.zero_grad()
        _add_gradient(network, model, batch, model.max_context_s)
        optimiser.step()
    print(f"| after {asked.steps} steps | cosine | length |")
    _print(network, model, batches[:_BATCHES], find_longest(task))


if __name__ == "__main__":
    main()
