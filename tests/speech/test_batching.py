"""Batches of utterances of like length."""

from __future__ import annotations

import numpy as np

from stt_tune.speech.batching import LikeLengths

_BATCH = 16


def _pad(order: list[int], lengths: np.ndarray) -> float:
    """Padding by speech."""
    batches = [lengths[order[i : i + _BATCH]] for i in range(0, len(order), _BATCH)]
    return float(sum(batch.max() * len(batch) for batch in batches) / lengths.sum() - 1)


def test_batches_pad_little_and_every_epoch_has_others() -> None:
    lengths = np.random.default_rng(0).integers(10, 40, 230)
    sampler = LikeLengths(lengths.tolist(), _BATCH, seed=0)
    orders = []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        orders.append(list(sampler))
    for order in orders:
        assert sorted(order) == list(range(len(sampler))) == list(range(230))
        assert _pad(order, lengths) < 0.25
    assert _pad(list(range(230)), lengths) > 0.45
    sets = [{frozenset(order[i : i + _BATCH]) for i in range(0, 230, _BATCH)} for order in orders]
    assert not sets[0] & sets[1]
    assert not sets[1] & sets[2]
    # whoever begins with an epoch has the same
    again = LikeLengths(lengths.tolist(), _BATCH, seed=0)
    again.set_epoch(2)
    assert list(again) == orders[2]
    other = LikeLengths(lengths.tolist(), _BATCH, seed=1)
    other.set_epoch(2)
    assert list(other) != orders[2]


def test_few_batches_are_mixed_all_the_same() -> None:
    lengths = np.random.default_rng(0).integers(10, 40, 48).tolist()
    for batch in (16, 4):
        sampler = LikeLengths(lengths, batch, seed=0)
        first = list(sampler)
        sampler.set_epoch(1)
        assert {frozenset(first[i : i + batch]) for i in range(0, 48, batch)}.isdisjoint(
            frozenset(each) for each in np.reshape(list(sampler), (-1, batch)).tolist()
        )
