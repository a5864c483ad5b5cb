"""The silence that Whisper's clips are padded with to 30 s, in a few positions that each count as many.

Whisper was trained with all of that silence and breaks without it, but most of it is alike: attention to n keys that
are alike is attention to one of them with log n added to its logit. What is trained so are the ordinary weights, which
are used with the full silence afterwards.

Silence is least alike at its ends, where it borders on speech and on nothing. So a position there stands for itself
alone, and the more to the middle, the more it stands for.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from scipy.optimize import brentq
from transformers.models.whisper.modeling_whisper import WhisperAttention

POSITIONS = 50  # of silence, behind those of the clip; an even number
_STEEPEST = 2.0


class Positions(torch.nn.Embedding):
    """A position table that gives the same rows, whatever is asked for.

    Attributes:
        rows: Which ones, [positions]; None: all.
    """

    rows: torch.Tensor | None = None

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """The rows, [positions, width]."""
        return self.weight if self.rows is None else torch.nn.functional.embedding(self.rows, self.weight)


@functools.cache  # it is asked for every batch
def condense(spoken: int, full: int) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Choose the positions of a clip and of the silence behind it.

    Args:
        spoken: Positions that hold clips.
        full: Positions that the encoder was trained with.

    Returns:
        The chosen positions, and what is added to the logits of attention to each; all positions and None where
        that is no more than what would be chosen.
    """
    if spoken + POSITIONS >= full:
        return torch.arange(full), None
    side = POSITIONS // 2
    # from either end, what positions stand for grows by this factor from one to the next
    growth = brentq(
        lambda factor: (factor**side - 1) / (factor - 1) - (full - spoken) / 2, 1 + torch.finfo().eps, _STEEPEST
    )
    counts = growth ** torch.arange(side, dtype=torch.float64)
    counts = torch.cat([counts, counts.flip(0)])
    middles = (spoken + counts.cumsum(0) - counts / 2).long()
    logits = torch.cat([torch.zeros(spoken), counts.log().float()])
    return torch.cat([torch.arange(spoken), middles]), logits


@functools.cache  # graphs that have been captured read them where they are
def condense_on(
    device: torch.device, dtype: torch.dtype, count: int, full: int
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The positions of a clip and of its silence, `count` in all, as `condense` chooses them."""
    positions, logits = condense(count - POSITIONS if count < full else full, full)
    return positions.to(device), None if logits is None else logits.to(device, dtype)


def weigh(network: torch.nn.Module, logits: torch.Tensor | None) -> None:
    """Add `logits` [positions] wherever `network`, a Whisper, attends to its encoder's positions; None: nothing."""
    attentions: list[Any] = [
        each for each in network.modules() if isinstance(each, WhisperAttention) and not each.is_causal
    ]
    for attention in attentions:
        if not hasattr(attention, "silence"):
            attention.register_forward_pre_hook(_add_logits, with_kwargs=True)
        # no buffer: those are of one shape to the compiler, which then has to compile for each length of batch
        attention.silence = logits


def _add_logits(module: Any, args: tuple[Any, ...], given: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Whisper gives its attention to the encoder's positions no mask of its own."""
    return args, given if module.silence is None else {**given, "attention_mask": module.silence[None, None, None]}
