"""Find the arithmetic precision that is fastest here and safe for training."""

from __future__ import annotations

import copy
from contextlib import AbstractContextManager
from typing import Any

import torch
from transformers import PreTrainedModel

_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
_WRAPPERS = ("forward", "_original_forward")  # where accelerate keeps them


def find_precision(device: str) -> str:
    """`bf16`, `fp16` or `fp32` for a device type (`cuda` or `cpu`).

    bf16 on GPUs and CPUs that have instructions for it, fp16 on other GPUs (training scales its loss).
    It is not measured: a trial that goes on in another process has to come to the same numbers there,
    however busy the machine is.
    """
    if device == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    is_fast: bool = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bf16" if is_fast else "fp32"


def find_type(device: str) -> torch.dtype:
    """The precision as a type of tensors."""
    return _TYPES.get(find_precision(device), torch.float32)


def copy_in(dtype: torch.dtype, network: PreTrainedModel) -> Any:
    """A copy of a network with weights of another type, and without what a trainer has put around its `forward`.

    Nothing is copied in the type that it has, and the copy goes as soon as nobody holds it: as a `forward` of its own
    it would hold itself.
    """
    made: dict[int, torch.Tensor] = {id(each): each.to(dtype) for each in network.buffers() if each.is_floating_point()}
    for each in network.parameters():
        made[id(each)] = torch.nn.Parameter(each.detach().to(dtype), requires_grad=False)
    copied = copy.deepcopy(network, made)
    for name in _WRAPPERS:
        vars(copied).pop(name, None)
    return copied


def autocast(device: str) -> AbstractContextManager[object]:
    """A context in which matrix products run in the precision found."""
    precision = find_precision(device)
    return torch.autocast(device, dtype=_TYPES.get(precision), enabled=precision in _TYPES)
