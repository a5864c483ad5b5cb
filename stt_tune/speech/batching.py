"""Bring utterances of like length together, where a batch is padded to its longest; make batches ahead."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch
from transformers.trainer_pt_utils import get_length_grouped_indices

Item = TypeVar("Item")
Made = TypeVar("Made")

# Batches whose utterances are sorted together: enough to pad clips of 1 to 4 s by a quarter and not by a half to three
# quarters, few enough that an epoch brings others together than the one before. Of a small data set fewer, so that it
# has several windows, too.
_WINDOW = 4
_LEAST_WINDOWS = 4


class LikeLengths(torch.utils.data.Sampler[int]):
    """Draws in another order each epoch; the utterances of a batch, or of several, lie sorted by length.

    The order depends on seed and epoch alone, so that processes which train together, and a training that goes on from
    a checkpoint, have the same.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        """Set up.

        Args:
            lengths: Of the utterances, in any unit.
            batch_size: Utterances of an effective batch.
            seed: Of the order.
        """
        self._lengths = list(lengths)
        self._batch_size = batch_size
        self._window = min(max(len(lengths) // (batch_size * _LEAST_WINDOWS), 1), _WINDOW)
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch begins; the trainer does."""
        self._epoch = epoch

    def __len__(self) -> int:
        """How many utterances there are."""
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        """Indices of the utterances of one epoch."""
        seed = int(np.random.default_rng([self._seed, self._epoch]).integers(2**63))
        generator = torch.Generator().manual_seed(seed)
        order: list[int] = get_length_grouped_indices(self._lengths, self._batch_size, self._window, generator)
        return iter(order)


def make_ahead(make: Callable[[Item], Made], items: Iterable[Item]) -> Iterator[Made]:
    """Make something of each item, of the next one in a thread of its own while the last one is used."""
    with ThreadPoolExecutor(1) as aside:
        begun: Future[Made] | None = None
        for item in items:
            ready, begun = begun, aside.submit(make, item)
            if ready is not None:
                yield ready.result()
        if begun is not None:
            yield begun.result()
