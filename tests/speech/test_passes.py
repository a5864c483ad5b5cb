"""Passes that are captured, on a stand-in for CUDA's graphs; `test_gpu.py` runs them on a GPU."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from stt_tune.speech import passes
from stt_tune.speech.example import SpeechData
from stt_tune.speech.families.base import IGNORED, Batch, count_tokens
from stt_tune.speech.families.whisper import WhisperModel
from stt_tune.speech.model import load_model
from stt_tune.speech.passes import ComputePass, GraphedPasses
from tests.speech.graphs import Graphs

_LENGTHS_S = (2.0, 3.0, 2.0, 3.0, 2.5, 2.0, 2.5, 3.0, 2.5, 2.0)  # of one micro-batch after the other


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> Graphs:
    return Graphs(monkeypatch)


@pytest.fixture(scope="module")
def small(small_model: str) -> WhisperModel:
    model = load_model(small_model)
    assert isinstance(model, WhisperModel)
    return model


class Training:
    """Steps of two micro-batches each."""

    def __init__(self, model: WhisperModel, speech: SpeechData) -> None:
        self.network: Any = model.build()
        self._model = model
        self._speech = speech
        self._optimizer = torch.optim.SGD(self.network.parameters(), lr=0.1)

    def compute(self, batch: Batch, tokens: torch.Tensor) -> torch.Tensor:
        total = self._model.compute_loss(self.network, batch).total
        (total / tokens).backward()
        return total.detach()

    def run(self, compute: ComputePass, begin: Any = lambda: None) -> list[float]:
        losses = []
        for first in range(0, len(_LENGTHS_S), 2):
            begin()
            batches = [self._make(part) for part in (first, first + 1)]
            tokens = sum(count_tokens(batch) for batch in batches)
            losses += [float(compute(batch, tokens)) for batch in batches]
            self._optimizer.step()
            self._optimizer.zero_grad()
        return losses

    def _make(self, part: int) -> Batch:
        """Two utterances; of the text of each there is more or less, in one length."""
        few = [self._speech.train[number % len(self._speech.train)] for number in (part, part + 1)]
        batch = self._model.collate(few, _LENGTHS_S[part])
        batch |= {name: batch[name][:, :6].clone() for name in ("labels", "decoder_input_ids")}
        batch["labels"][:, 2 + part % 4 :] = IGNORED
        return batch


@pytest.fixture
def plain(small: WhisperModel, speech: SpeechData) -> tuple[list[float], dict[str, torch.Tensor]]:
    training = Training(small, speech)
    return training.run(training.compute), copy.deepcopy(training.network.state_dict())


@pytest.mark.parametrize(("most", "replayed"), [(32, 7), (1, 3)])
def test_passes_of_several_shapes_that_are_replayed_train_as_plain_ones(
    most: int,
    replayed: int,
    plain: tuple[list[float], dict[str, torch.Tensor]],
    small: WhisperModel,
    speech: SpeechData,
    graphs: Graphs,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(passes, "_MOST", most)
    training = Training(small, speech)
    ours = GraphedPasses(training.compute, training.network)
    losses = training.run(ours, ours.begin)
    assert losses == pytest.approx(plain[0], rel=1e-5)
    torch.testing.assert_close(training.network.state_dict(), plain[1])
    assert (graphs.captured, graphs.replayed) == (min(most, 3), replayed)


def test_where_a_capture_fails_passes_go_on_uncaptured(
    plain: tuple[list[float], dict[str, torch.Tensor]], small: WhisperModel, speech: SpeechData, graphs: Graphs
) -> None:
    training, told = Training(small, speech), list[str]()
    ours = GraphedPasses(training.compute, training.network, told.append)
    graphs.fail = torch.OutOfMemoryError("CUDA out of memory.\nMore of it.")
    losses = training.run(ours, ours.begin)
    assert losses == pytest.approx(plain[0], rel=1e-5)
    torch.testing.assert_close(training.network.state_dict(), plain[1])
    assert told == ["passes through the network are not captured, which makes them slower: CUDA out of memory."]
    assert graphs.replayed == 0
    assert not ours.release()  # there is nothing


def test_graphs_that_are_released_are_not_captured_again(
    small: WhisperModel, speech: SpeechData, graphs: Graphs
) -> None:
    training = Training(small, speech)
    ours = GraphedPasses(training.compute, training.network)
    assert not ours.release()
    training.run(ours, ours.begin)
    assert ours.release()
    training.run(ours, ours.begin)
    assert (graphs.captured, graphs.replayed) == (3, 7)


def test_memory_that_runs_out_before_anything_is_captured_leaves_it_possible(
    small: WhisperModel, speech: SpeechData, graphs: Graphs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passes, "compile_layers", lambda _network: None)
    training = Training(small, speech)
    ours = GraphedPasses(training.compute, training.network)
    training.run(ours, lambda: ours.begin(0))  # all of it is seen, and nothing captured
    assert not ours.release()
    training.run(ours, ours.begin)
    assert graphs.captured == 3
    ours.compile()
    training.run(ours, ours.begin)
    assert graphs.captured == 6
    ours.stop()
    ours.compile()  # changes nothing in what memory holds
    training.run(ours, ours.begin)
    assert graphs.captured == 6
    ours.begin_anew()  # with smaller batches
    training.run(ours, ours.begin)
    assert graphs.captured == 9


def test_a_shape_is_captured_where_it_will_be_seen_often_and_the_largest_at_once(
    small: WhisperModel, speech: SpeechData, graphs: Graphs
) -> None:
    training = Training(small, speech)
    ours = GraphedPasses(training.compute, training.network)

    def run(length_s: float, to_come: float) -> int:
        batch = small.collate(speech.train[:2], length_s)
        ours.begin(to_come)
        ours(batch, count_tokens(batch))
        return graphs.captured

    assert [run(1.5, 0), run(1.5, 0)] == [0, 0]
    assert [run(2.0, 5), run(2.0, 3), run(2.0, 2)] == [0, 1, 1]
    assert [run(3.0, 10), run(2.5, 10), run(2.5, 10)] == [2, 2, 3]
    assert [run(1.0, 0.5) for _time in range(9)] == [3] * 9
    ours.compile()
    assert [run(2.0, 10), run(3.0, 5), run(3.0, 5), run(3.0, 5)] == [4, 4, 5, 5]
