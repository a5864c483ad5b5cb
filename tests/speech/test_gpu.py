"""What is done otherwise on a GPU gives what is done on it plainly."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from stt_tune.speech import compilation
from stt_tune.speech.checkpoint import take_whole
from stt_tune.speech.decode import measure
from stt_tune.speech.example import Example, SpeechData
from stt_tune.speech.families.base import Listen, SpeechModel
from stt_tune.speech.families.whisper import EvenProjection, WhisperModel
from stt_tune.speech.finetune import TrainingSettings, finetune
from stt_tune.speech.greedy import _find_stream
from stt_tune.speech.memory import free
from stt_tune.speech.normalisers import load_normaliser
from stt_tune.speech.report import EpochReport

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU"),
]

_CONTEXT_S = 4.0
_SETTINGS = TrainingSettings(seed=0, audio_context_s=_CONTEXT_S, normaliser="basic")
_OF_EACH_BATCH = replace(_SETTINGS, audio_context_s=None)
_WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


class PlainWhisper(WhisperModel):
    """Without graphs."""

    def can_be_captured(self, network: PreTrainedModel) -> bool:
        return False


class PlainlyHearingWhisper(WhisperModel):
    """As on a CPU."""

    def listener(self, network: PreTrainedModel) -> Listen:
        return functools.partial(self.hear, network)


def _as(kind: type[WhisperModel], model: SpeechModel) -> WhisperModel:
    return kind(**vars(model))


@pytest.fixture(scope="module")
def noise(tiny: SpeechModel) -> SpeechData:
    rng = np.random.default_rng(0)

    def make(number: int) -> Example:
        samples = rng.standard_normal(int(16_000 * rng.uniform(1, 4))).astype(np.float32) * 0.1
        text = " ".join(rng.choice(_WORDS, int(rng.integers(1, 12))))
        return Example(str(number), text, tiny.compute_features(samples), tiny.encode(text))

    return SpeechData([make(i) for i in range(42)], [make(i) for i in range(20)], [])


@pytest.fixture(autouse=True)
def _new_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(compilation, "_trained_s", 0.0)
    yield
    free()


def _train(
    model: SpeechModel, data: SpeechData, settings: TrainingSettings = _SETTINGS, **configuration: float
) -> list[EpochReport]:
    reports: list[EpochReport] = []
    chosen = {"learning_rate": 1e-5, "batch_size": 8, "epochs": 3, **configuration}
    finetune(chosen, data, model, reports.append, settings)
    return reports


def _compare(reports: list[EpochReport], plain: list[EpochReport], tolerance: float = 0.02) -> None:
    for ours, theirs in zip(reports, plain, strict=True):
        assert ours.train_loss == pytest.approx(theirs.train_loss, rel=tolerance)
        assert ours.dev_loss == pytest.approx(theirs.dev_loss, rel=tolerance)


def test_captured_passes_train_as_plain_ones(tiny: SpeechModel, noise: SpeechData) -> None:
    for configuration, settings in (
        ({}, _SETTINGS),
        ({}, _OF_EACH_BATCH),
        ({"gradient_accumulation_steps": 2}, _SETTINGS),
        ({"freeze": "encoder"}, _SETTINGS),
    ):
        plain = _train(_as(PlainWhisper, tiny), noise, settings, **configuration)
        assert plain[-1].train_loss < plain[0].train_loss
        _compare(_train(tiny, noise, settings, **configuration), plain)


def test_a_training_goes_on_from_a_copy_that_was_written_beside_it(
    tiny: SpeechModel, noise: SpeechData, tmp_path: Path
) -> None:
    whole = _train(tiny, noise)
    first: list[EpochReport] = []

    def stop(report: EpochReport) -> None:
        first.append(report)
        if report.epoch == 2:
            assert take_whole(tmp_path)  # the first epoch's
            raise KeyboardInterrupt

    chosen = {"learning_rate": 1e-5, "batch_size": 8, "epochs": 3}
    with pytest.raises(KeyboardInterrupt):
        finetune(chosen, noise, tiny, stop, _SETTINGS, checkpoints=tmp_path)
    second: list[EpochReport] = []
    finetune(chosen, noise, tiny, second.append, _SETTINGS, checkpoints=tmp_path)
    assert [report.epoch for report in second] == [2, 3]
    _compare([first[0], *second], whole)


def test_captured_passes_draw_dropout_anew_each_time(tiny: SpeechModel, noise: SpeechData) -> None:
    few = replace(noise, train=noise.train[:1] * 8)
    still: dict[str, Any] = {"batch_size": 1, "epochs": 4, "learning_rate": 1e-12}
    losses = [report.train_loss for report in _train(tiny, few, **still)]
    assert losses == pytest.approx([losses[0]] * 4, rel=1e-3)
    drawn = [report.train_loss for report in _train(tiny, few, **still, dropout=0.3)]
    assert len({round(loss, 4) for loss in drawn}) == 4


@pytest.mark.parametrize("settings", [_SETTINGS, _OF_EACH_BATCH])
def test_compiled_layers_train_as_plain_ones(tiny: SpeechModel, noise: SpeechData, settings: TrainingSettings) -> None:
    plain = _train(_as(PlainWhisper, tiny), noise, settings)
    compilation.note_trained(3600)
    _compare(_train(tiny, noise, settings), plain)
    _compare(_train(tiny, noise, settings), plain)


def test_transcripts_written_step_by_graph_are_those_of_transformers(tiny: SpeechModel, noise: SpeechData) -> None:
    normalise = load_normaliser("basic")
    heard = []
    for model in (tiny, _as(PlainlyHearingWhisper, tiny)):
        network: Any = model.build()
        network.cuda()
        heard.append(measure(network, noise.dev, model, audio_context_s=30.0, normalise=normalise))
    quick, plain = heard
    assert quick.loss == pytest.approx(plain.loss, rel=0.02)
    pairs = zip(quick.utterances, plain.utterances, strict=True)
    same = [ours.hypothesis == theirs.hypothesis for ours, theirs in pairs]
    assert np.mean(same) >= 0.9  # bf16 decides the others the other way


def test_steps_of_decoding_are_captured_in_a_stream_that_no_training_gets() -> None:
    assert _find_stream().cuda_stream not in {torch.cuda.Stream().cuda_stream for _training in range(64)}


def test_a_vocabulary_that_is_filled_up_gives_the_same() -> None:
    plain = torch.nn.Linear(64, 51865, bias=False, device="cuda")
    ours: Any = copy.deepcopy(plain)
    ours.__class__ = EvenProjection
    hidden, weights = (torch.randn(8, count, device="cuda") for count in (64, 51865))
    for each in (plain, ours):
        (each(hidden) * weights).sum().backward()
    assert ours(hidden).shape == (8, 51865)
    torch.testing.assert_close(ours(hidden), plain(hidden), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(ours.weight.grad, plain.weight.grad, rtol=1e-3, atol=1e-3)


def test_when_the_gpus_memory_runs_out_smaller_batches_give_the_same(
    tiny: SpeechModel, noise: SpeechData, capsys: pytest.CaptureFixture[str]
) -> None:
    longer = replace(_SETTINGS, audio_context_s=10.0)
    torch.cuda.reset_peak_memory_stats()
    plain = _train(_as(PlainWhisper, tiny), noise, longer, batch_size=40)
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(0.7 * torch.cuda.max_memory_allocated() / total)
    try:
        little = _train(tiny, noise, longer, batch_size=40)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert little[-1].micro_batch < 40
    assert "memory ran out: going on with" in capsys.readouterr().err
    _compare(little, plain)
