"""Whisper's attention to 30 s of speech on CPUs, as matrix products.

torch's kernel there is no faster in bf16 than in float32. In products of bf16, of no more heads at a time than their
scores find room in a cache for, the encoder's takes 0.6 of the time; the decoder's, of a token to 1500 positions, less
than half.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

_NAME = "products"
_MANY = 512  # positions that are attended to; with fewer, torch's kernel is as fast
_SCORES = 2**22  # at a time


def attend_by_products(network: Any) -> None:
    """Let a Whisper listen so, where nothing is learned and nothing masked."""
    config = copy.copy(network.config)
    config._attn_implementation = _NAME
    for layer in network.get_encoder().layers:
        layer.self_attn.config = config
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
    is_for_us = query.dtype == torch.bfloat16 and key.shape[2] >= _MANY and attention_mask is None
    if torch.is_grad_enabled() or not is_for_us:
        heard: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, **given
        )
        return heard
    at_once = max(_SCORES // (query.shape[2] * key.shape[2]), 1)
    heads = [each.flatten(0, 1).split(at_once) for each in (query * scaling, key.transpose(2, 3), value)]
    attended = torch.cat([torch.softmax(q @ k, -1) @ v for q, k, v in zip(*heads, strict=True)])
    return attended.view(query.shape).transpose(1, 2).contiguous(), None


AttentionInterface.register(_NAME, _attend)
