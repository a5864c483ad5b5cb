"""Whisper's attention without transformers' copies, and on CPUs as matrix products where those are faster.

torch's kernels take queries, keys and values where projections have written them; to lay them out head by head first,
and their gradients back, is several passes through memory a layer.

On CPUs torch's kernel is no faster in bf16 than in float32. In products of bf16, of no more heads at a time than their
scores find room in a cache for, the encoder's attention to 30 s takes 0.6 of the time; the decoder's, of a token to
1500 positions, less than half.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.models.whisper.modeling_whisper import WhisperAttention

_NAME = "products"
_MANY = 512  # positions that are attended to; with fewer, torch's kernel is as fast
_SCORES = 2**22  # at a time


class Attention(WhisperAttention):
    """As transformers' own, up to rounding; where keys and values are kept from token to token, it is that."""

    def forward(
        self,
        hidden_states: torch.Tensor,
        key_value_states: torch.Tensor | None = None,
        past_key_values: Any = None,
        attention_mask: torch.Tensor | None = None,
        output_attentions: bool = False,
        **given: Any,
    ) -> Any:
        """Attend from states [b, t, width] to themselves, or to those of an encoder.

        Returns:
            States [b, t, width], and in the place of attention's weights None.
        """
        if past_key_values is not None:
            return super().forward(
                hidden_states, key_value_states, past_key_values, attention_mask, output_attentions, **given
            )
        attended_to = hidden_states if key_value_states is None else key_value_states
        projected = self.q_proj(hidden_states), self.k_proj(attended_to), self.v_proj(attended_to)
        query, key, value = (each.unflatten(-1, (self.num_heads, self.head_dim)).transpose(1, 2) for each in projected)
        dropout = self.dropout if self.training else 0.0
        # heads are 64 wide, so that it does not matter which of the factors is scaled by 1/8
        attended, _none = _attend(self, query, key, value, attention_mask, scaling=self.scaling, dropout=dropout)
        return self.out_proj(attended.flatten(2)), None


def attend_quickly(network: Any) -> None:
    """Let a Whisper attend so, with transformers' attention by products where keys and values of speech are kept."""
    for module in network.modules():
        if isinstance(module, WhisperAttention):
            module.__class__ = Attention
    config = copy.copy(network.config)
    config._attn_implementation = _NAME
    for layer in network.get_decoder().layers:
        layer.encoder_attn.config = config


def _attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float = 1.0,
    **given: Any,
) -> tuple[torch.Tensor, None]:
    """As transformers' own: queries, keys and values [b, heads, t, width], to [b, t, heads, width]."""
    is_for_us = (
        query.dtype == torch.bfloat16
        and query.device.type == "cpu"
        and key.shape[2] >= _MANY
        and attention_mask is None
        and not torch.is_grad_enabled()
    )
    if not is_for_us:
        heard: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, **given
        )
        return heard
    at_once = max(_SCORES // (query.shape[2] * key.shape[2]), 1)
    heads = [each.flatten(0, 1).split(at_once) for each in (query * scaling, key.transpose(2, 3), value)]
    attended = torch.cat([torch.softmax(q @ k, -1) @ v for q, k, v in zip(*heads, strict=True)])
    return attended.view(query.shape).transpose(1, 2).contiguous(), None


AttentionInterface.register(_NAME, _attend)
