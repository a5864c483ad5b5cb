from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel, TrainingArguments

import stt_tune.speech.finetune as finetune_module
from stt_tune.demo.corpus import CorpusSize, make_corpus
from stt_tune.errors import DivergedError, TrainingMemoryError
from stt_tune.speech import decode
from stt_tune.speech.adaptation import Adaptation
from stt_tune.speech.example import Example, SpeechData
from stt_tune.speech.families.base import Batch, SpeechModel
from stt_tune.speech.families.silence import POSITIONS
from stt_tune.speech.families.whisper import WhisperModel
from stt_tune.speech.features import prepare
from stt_tune.speech.finetune import TrainingSettings, finetune
from stt_tune.speech.manifest import read_manifest
from stt_tune.speech.normalisers import load_normaliser
from stt_tune.speech.ranks import ALONE, Ranks
from stt_tune.speech.rates import KINDS
from stt_tune.speech.report import METRICS, EpochReport
from stt_tune.speech.trainer import SpeechTrainer

_SETTINGS = TrainingSettings(seed=0, audio_context_s=None, normaliser="basic")


def _train(
    configuration: dict[str, float], speech: SpeechData, tiny: SpeechModel, settings: TrainingSettings = _SETTINGS
) -> list[EpochReport]:
    reports: list[EpochReport] = []
    finetune({"epochs": 2, "batch_size": 8, **configuration}, speech, tiny, reports.append, settings)
    return reports


def test_training_learns_and_reports_every_epoch(speech: SpeechData, tiny: SpeechModel) -> None:
    reports = _train({"learning_rate": 1e-4}, speech, tiny)
    assert [report.epoch for report in reports] == [1, 2]
    first, last = reports
    assert last.train_loss < first.train_loss
    assert last.dev_loss < first.dev_loss
    assert last.wer <= first.wer
    assert last.seconds > first.seconds > 0
    assert last.wer == pytest.approx(last.substitutions + last.deletions + last.insertions)
    assert all(math.isfinite(value) for name, value in last.to_dict().items() if name in METRICS)
    assert set(METRICS) - set(last.to_dict()) == {f"wer_{kind}" for kind in KINDS}  # no case has a kind here


class _SeesTwoGpus(TrainingArguments):
    @functools.cached_property
    def _setup_devices(self) -> object:
        device = super()._setup_devices
        self._n_gpu = 2
        return device


def test_where_several_gpus_are_seen_one_training_takes_one(
    speech: SpeechData, tiny: SpeechModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = replace(speech, train=speech.train[:4], dev=speech.dev[:1])
    (plain,) = _train({"epochs": 1, "batch_size": 4}, few, tiny)
    monkeypatch.setattr(finetune_module, "TrainingArguments", _SeesTwoGpus)
    (report,) = _train({"epochs": 1, "batch_size": 4}, few, tiny)
    assert (report.train_loss, report.dev_loss) == (plain.train_loss, plain.dev_loss)


def test_the_wer_of_each_kind_of_case_is_reported(speech: SpeechData, tiny: SpeechModel) -> None:
    kinds = ("deletion", "deletion", "pronunciation", None)
    dev = [replace(each, kind=kind, is_labelled=True) for each, kind in zip(speech.dev, kinds, strict=False)]
    few = replace(speech, train=speech.train[:4], dev=dev)
    (report,) = _train({"epochs": 1, "batch_size": 4}, few, tiny)
    errors = {kind: [each for each in report.utterances if each["kind"] == kind] for kind in kinds}
    for kind in ("deletion", "pronunciation"):
        wrong = sum(each["substitutions"] + each["deletions"] + each["insertions"] for each in errors[kind])
        expected = wrong / sum(each["words"] for each in errors[kind])
        assert report.to_dict()[f"wer_{kind}"] == pytest.approx(expected)
    assert "wer_insertion" not in report.to_dict()
    assert [each["id"] for each in report.utterances] == [each.id for each in dev]


def test_the_same_seed_gives_the_same_weights(speech: SpeechData, tiny: SpeechModel) -> None:
    few = replace(speech, train=speech.train[:8], dev=speech.dev[:2])
    configuration = {"learning_rate": 1e-4, "dropout": 0.05, "epochs": 1, "batch_size": 4}
    first, second, other = (
        [replace(report, seconds=0) for report in _train(configuration, few, tiny, replace(_SETTINGS, seed=seed))]
        for seed in (0, 0, 1)
    )
    assert first == second
    assert first != other


def test_accumulated_batches_give_the_loss_of_one_large_batch(speech: SpeechData, tiny: SpeechModel) -> None:
    few = replace(speech, train=speech.train[:8], dev=speech.dev[:2])
    (large,) = _train({"learning_rate": 1e-4, "epochs": 1, "batch_size": 8}, few, tiny)
    (parts,) = _train(
        {"learning_rate": 1e-4, "epochs": 1, "batch_size": 2, "gradient_accumulation_steps": 4}, few, tiny
    )
    assert parts.train_loss == pytest.approx(large.train_loss, rel=0.02)
    assert parts.dev_loss == pytest.approx(large.dev_loss, rel=0.02)


def test_evaluation_gets_the_memory_that_passes_hold_where_it_lacks_some(
    speech: SpeechData, tiny: SpeechModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = replace(speech, train=speech.train[:4], dev=speech.dev[:1])
    held = ["the memory of graphs"]

    def measure(*args: Any, **given: Any) -> decode.Measurement:
        if held:
            raise TrainingMemoryError("memory ran out")
        return decode.measure(*args, **given)

    monkeypatch.setattr(finetune_module, "measure", measure)
    with pytest.raises(TrainingMemoryError):
        _train({"epochs": 1, "batch_size": 4}, few, tiny)  # on a CPU they hold nothing
    monkeypatch.setattr(SpeechTrainer, "give_back_memory", lambda _trainer: bool(held.pop()))
    (report,) = _train({"epochs": 1, "batch_size": 4}, few, tiny)
    assert math.isfinite(report.dev_loss)

    interpolate = Adaptation._interpolate

    def lack_memory(adaptation: Adaptation) -> None:  # where the weights are kept twice
        monkeypatch.setattr(Adaptation, "_interpolate", interpolate)
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    held.append("the memory of graphs")
    monkeypatch.setattr(finetune_module, "measure", decode.measure)
    monkeypatch.setattr(Adaptation, "_interpolate", lack_memory)
    (report,) = _train({"epochs": 1, "batch_size": 4, "base_weight": 0.3}, few, tiny)
    assert math.isfinite(report.dev_loss)
    assert not held


def _watch(monkeypatch: pytest.MonkeyPatch, note: Callable[[Batch], None]) -> None:
    """Call `note` with each batch that a Whisper is given."""
    fit = WhisperModel.fit

    def spy(self: WhisperModel, network: PreTrainedModel, batch: Batch) -> None:
        note(batch)
        fit(self, network, batch)

    monkeypatch.setattr(WhisperModel, "fit", spy)


def test_a_batch_is_padded_to_its_own_longest_clip(
    speech: SpeechData, tiny: WhisperModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths: dict[bool, list[int]] = {True: [], False: []}
    _watch(monkeypatch, lambda batch: lengths[torch.is_grad_enabled()].append(batch["input_features"].shape[-1]))
    monkeypatch.setattr(decode, "_MOST", {"cpu": 4, "cuda": 4})
    (report,) = _train({"epochs": 1, "batch_size": 4}, speech, tiny)

    def pad(examples: list[Example]) -> list[int]:
        """What fours of them are padded to, the longest first."""
        frames = sorted((tiny.find_length(each) for each in examples), reverse=True)
        return [2 * (math.ceil(longest / 2) + POSITIONS) for longest in frames[::4]]

    assert lengths[False] == pad(speech.dev)
    assert lengths[False][0] > lengths[False][-1]
    assert len(lengths[True]) == 4
    assert min(lengths[True]) < max(lengths[True]) == pad(speech.train)[0]
    (fixed,) = _train({"epochs": 1, "batch_size": 4}, speech, tiny, replace(_SETTINGS, audio_context_s=4.0))
    assert report.dev_loss == pytest.approx(fixed.dev_loss, rel=0.1)


def test_batches_of_many_shapes_are_attended_to_without_plans(
    speech: SpeechData, tiny: WhisperModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned: dict[bool, set[bool]] = {True: set(), False: set()}
    _watch(monkeypatch, lambda _batch: planned[torch.is_grad_enabled()].add(torch.backends.cuda.cudnn_sdp_enabled()))
    for settings, expected in ((_SETTINGS, False), (replace(_SETTINGS, audio_context_s=4.0), True)):
        _train({"epochs": 1, "batch_size": 4}, speech, tiny, settings)
        assert (planned.pop(True), planned.pop(False)) == ({expected}, {False})
        planned |= {True: set(), False: set()}
    assert torch.backends.cuda.cudnn_sdp_enabled()


def test_a_cpu_hears_more_utterances_at_a_time_where_they_are_shorter(
    speech: SpeechData, tiny: WhisperModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[int] = []
    _watch(monkeypatch, lambda batch: heard.append(len(batch["labels"])))
    monkeypatch.setattr(decode, "_CPU_AUDIO_S", 10.0)
    monkeypatch.setattr(decode, "_CPU_LEAST", 2)
    network = tiny.build()
    for context_s, longest in ((None, tiny.find_context(speech.dev)), (4.0, 4.0), (9.0, 9.0)):
        heard.clear()
        decode.measure(network, speech.dev, tiny, audio_context_s=context_s, normalise=load_normaliser("none"))
        assert heard[0] == max(int(10 / longest), 2)
        assert sum(heard) == len(speech.dev)


def test_how_a_batch_is_divided_does_not_change_what_it_is_padded_to(speech: SpeechData, tiny: SpeechModel) -> None:
    expected = {round(100 * tiny.find_context(speech.train)) + 2 * POSITIONS}
    for ranks, micro_batch in ((ALONE, 8), (ALONE, 1), (Ranks(0, 2), 4), (Ranks(1, 2), 4)):
        trainer: Any = SimpleNamespace(_speech_model=tiny, _audio_context_s=None, _ranks=ranks, micro_batch=micro_batch)
        (batches,) = SpeechTrainer._collate(trainer, speech.train).values()
        assert len(batches) == len(ranks.share(speech.train)) / micro_batch
        assert {batch["input_features"].shape[-1] for batch in batches} == expected


def test_divergence_keeps_the_curve_and_says_so(speech: SpeechData, tiny: SpeechModel) -> None:
    reports: list[EpochReport] = []
    with pytest.raises(DivergedError, match="training diverged in epoch 1: the loss must stay finite"):
        finetune({"learning_rate": 1e30, "epochs": 3, "batch_size": 4}, speech, tiny, reports.append, _SETTINGS)
    assert reports[-1].diverged
    assert math.isnan(reports[-1].wer)


def test_what_report_raises_ends_the_training(speech: SpeechData, tiny: SpeechModel) -> None:
    def stop(report: EpochReport) -> None:
        raise SystemExit(0)

    with pytest.raises(SystemExit):
        finetune({"epochs": 50, "batch_size": 8}, speech, tiny, stop, _SETTINGS)


def test_a_wrong_configuration_is_refused_before_anything_is_built(speech: SpeechData, tiny: SpeechModel) -> None:
    with pytest.raises(ValueError, match="epochs: must be a whole number"):
        finetune({"epochs": 0}, speech, tiny, print, _SETTINGS)


def test_a_batch_teaches_the_transcript_and_nothing_of_the_prompt(speech: SpeechData, tiny: SpeechModel) -> None:
    short, long = sorted(speech.train, key=lambda example: len(example.labels))[:: len(speech.train) - 1]
    batch = tiny.collate([short, long], 4)
    prompt = len(tiny.prompt)
    assert batch["input_features"].shape == (2, 80, 2 * (200 + POSITIONS))
    assert batch["decoder_input_ids"][0, :prompt].tolist() == list(tiny.prompt)
    # each position is taught the token that follows it, from the last token of the prompt on
    assert batch["labels"][0, : prompt - 1].tolist() == [-100] * (prompt - 1)
    assert batch["labels"][0, prompt - 1 : prompt - 1 + len(short.labels)].tolist() == short.labels
    assert batch["decoder_input_ids"][1, prompt:].tolist() == long.labels[:-1]
    assert batch["labels"][0, prompt - 1 + len(short.labels) :].unique().tolist() == [-100]
    text = tiny.tokenizer.decode(short.labels, skip_special_tokens=True)
    assert text.strip() == short.reference


@pytest.mark.slow
def test_the_learning_rate_decides_what_the_embedded_speech_teaches(tiny: SpeechModel) -> None:
    """Dev WER over the learning rate is a U over three seeds; its bottom is clearly below both ends."""
    mean: dict[float, float] = {}
    corpora = []
    for seed in range(3):
        manifest = make_corpus(CorpusSize(), seed)
        utterances, _ = read_manifest(manifest, max_duration_s=30, normalise=load_normaliser("basic"))
        corpora.append(prepare(utterances, tiny, load_normaliser("basic")))
    for rate in (1e-6, 1e-5, 1e-4, 1e-3):
        finals = []
        for seed, data in enumerate(corpora):
            settings = replace(_SETTINGS, seed=seed)
            finals.append(_train({"learning_rate": rate, "epochs": 3}, data, tiny, settings)[-1].wer)
        mean[rate] = sum(finals) / len(finals)
    bottom = min(mean.values())
    assert mean[1e-6] > 2 * bottom
    assert mean[1e-3] > 2 * bottom
    assert bottom in (mean[1e-5], mean[1e-4])
