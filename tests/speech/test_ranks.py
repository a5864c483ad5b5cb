"""Two real processes that train one network."""

from __future__ import annotations

import multiprocessing
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import TrainingArguments

import stt_tune.speech.finetune as finetune_module
from stt_tune.errors import OtherFailedError, TrainingMemoryError
from stt_tune.speech.example import Example, SpeechData
from stt_tune.speech.families.base import SpeechModel
from stt_tune.speech.finetune import TrainingSettings, finetune
from stt_tune.speech.model import load_model
from stt_tune.speech.ranks import ALONE, Ranks, joined
from stt_tune.speech.report import EpochReport
from stt_tune.speech.trainer import SpeechTrainer
from tests.speech.families import make_families

if torch.cuda.is_available():
    pytest.skip("two processes would need a GPU each; this is about CPUs", allow_module_level=True)

_SETTINGS = TrainingSettings(seed=0, audio_context_s=4.0, normaliser="basic")
_TEXTS = ("one two", "seven eight nine", "four", "three three", "six one", "five zero two", "eight", "two nine", "one")
# nine utterances in batches of four: in the last one, the second process has nothing to do
_CONFIGURATION = {"learning_rate": 1e-3, "epochs": 2, "batch_size": 2, "gradient_accumulation_steps": 2}


def speech_of(model: SpeechModel) -> SpeechData:
    noise = np.random.default_rng(0)
    examples = [
        Example(
            str(i), text, model.compute_features(noise.normal(0, 0.1, 24_000).astype(np.float32)), model.encode(text)
        )
        for i, text in enumerate(_TEXTS)
    ]
    return SpeechData(train=examples, dev=examples[:3], test=examples[3:5])


def _train(folder: str, ranks: Ranks) -> tuple[dict[str, torch.Tensor], list[EpochReport]]:
    model = load_model(folder)
    reports: list[EpochReport] = []
    with pytest.MonkeyPatch.context() as patch:
        # half precision's rounding turns the sign of small gradients, which are steps of full length to Adam
        patch.setattr(finetune_module, "find_precision", lambda _device: "fp32")
        network = finetune(_CONFIGURATION, speech_of(model), model, reports.append, _SETTINGS, ranks=ranks)
    return {name: each.detach() for name, each in network.state_dict().items()}, reports


def _train_second(folder: str, address: str, answers: Any) -> None:
    with joined(1, 2, address) as ranks:
        weights, reports = _train(folder, ranks)
    answers.put(({name: each.numpy() for name, each in weights.items()}, len(reports)))


def _stop_second(folder: str, address: str, answers: Any) -> None:
    try:
        _train_second(folder, address, answers)
    except OtherFailedError as error:
        answers.put((str(error), torch.distributed.is_initialized()))


def _check_second(address: str, answers: Any) -> None:
    device = torch.device("cpu")
    with joined(1, 2, address) as ranks:
        ranks.check(None, device)
        parameters = [torch.nn.Parameter(torch.ones(2)) for _ in range(3)]
        parameters[0].grad = torch.tensor([1.0, 2.0])
        ranks.add_gradients(parameters)
        answers.put([None if each.grad is None else each.grad.tolist() for each in parameters])
        try:
            ranks.check(None, device)
        except OtherFailedError as error:
            answers.put(str(error))


def _start_second(target: Any, *arguments: Any) -> tuple[str, Any]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    context.Process(target=target, args=(*arguments, address, answers), daemon=True).start()
    return address, answers


def test_two_processes_give_the_weights_of_one(tmp_path: Path, tiny: SpeechModel) -> None:
    make_families(tiny)["moonshine"](tmp_path)
    address, answers = _start_second(_train_second, str(tmp_path))
    alone, alone_reports = _train(str(tmp_path), ALONE)
    with joined(0, 2, address) as ranks:
        first, reports = _train(str(tmp_path), ranks)
        second, second_reports = answers.get(timeout=60)
    assert second_reports == 0
    assert [report.epoch for report in reports] == [1, 2]
    for mine, lone in zip(reports, alone_reports, strict=True):
        assert mine.train_loss == pytest.approx(lone.train_loss, rel=1e-4)
        assert mine.dev_loss == pytest.approx(lone.dev_loss, rel=1e-4)
    for name, weight in alone.items():
        torch.testing.assert_close(first[name], weight, rtol=1e-4, atol=1e-4)
        assert np.array_equal(first[name].numpy(), second[name])


def test_where_the_first_process_is_stopped_the_other_ends_by_itself(tmp_path: Path, tiny: SpeechModel) -> None:
    make_families(tiny)["moonshine"](tmp_path)
    address, answers = _start_second(_stop_second, str(tmp_path))
    model = load_model(str(tmp_path))

    def stop(report: EpochReport) -> None:
        raise SystemExit

    with pytest.raises(SystemExit), joined(0, 2, address) as ranks:
        finetune(_CONFIGURATION, speech_of(model), model, stop, _SETTINGS, ranks=ranks)
    assert answers.get(timeout=60) == ("another process of this training has failed", False)


def test_gradients_are_added_and_a_failure_ends_all() -> None:
    device = torch.device("cpu")
    address, answers = _start_second(_check_second)
    with joined(0, 2, address) as ranks:
        ranks.check(None, device)
        parameters = [torch.nn.Parameter(torch.ones(2)) for _ in range(3)]
        parameters[0].grad, parameters[1].grad = torch.tensor([10.0, 20.0]), torch.tensor([3.0, 4.0])
        ranks.add_gradients(parameters)
        found = [None if each.grad is None else each.grad.tolist() for each in parameters]
        assert found == [[11.0, 22.0], [3.0, 4.0], None] == answers.get(timeout=60)
        with pytest.raises(TrainingMemoryError, match="no room"):
            ranks.check(TrainingMemoryError("no room"), device)
        assert answers.get(timeout=60) == "another process of this training has failed"
    assert ranks.share([0, 1, 2]) == [0, 2]
    assert Ranks(1, 2).share([0]) == []


def test_processes_that_go_on_from_a_checkpoint_draw_each_its_own(tmp_path: Path, tiny: SpeechModel) -> None:
    drawn = []
    for ranks in (ALONE, Ranks(0, 2), Ranks(1, 2), Ranks(2, 3), Ranks(1, 2)):
        trainer = SpeechTrainer(
            speech_model=tiny,
            audio_context_s=None,
            micro_batch=1,
            label_smoothing=0.0,
            ranks=ranks,
            model=tiny.build(),
            args=TrainingArguments(output_dir=str(tmp_path), use_cpu=True, report_to=[]),
        )
        if ranks == ALONE:
            torch.manual_seed(0)
            trainer._save_rng_state(str(tmp_path))
        trainer._load_rng_state(str(tmp_path))
        drawn.append(torch.rand(4).tolist())
    alone, first, second, third, again = drawn
    assert alone == first
    assert second == again
    assert len({tuple(each) for each in (first, second, third)}) == 3


def test_gradients_stay_where_captured_passes_write_them() -> None:
    with joined(0, 1, "127.0.0.1:0"):
        weights = [torch.nn.Parameter(torch.zeros(3)) for _ in range(3)]
        places = []
        for number, each in enumerate(weights[:2]):
            each.grad = torch.full((3,), number + 1.0)
            places.append(each.grad.data_ptr())
        Ranks(0, 2).add_gradients(weights)
    assert [each.grad.data_ptr() for each in weights[:2] if each.grad is not None] == places
    assert [None if each.grad is None else each.grad.tolist() for each in weights] == [[1.0] * 3, [2.0] * 3, None]
