"""What a training leaves to go on from, written and sent while it goes on."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from threading import Event, get_ident
from typing import Any

import pytest
import torch
from torch.distributed.checkpoint.staging import BlockingAsyncStager

from stt_tune.files import write_json
from stt_tune.speech import checkpoint
from stt_tune.speech.checkpoint import CheckpointWriter, name_checkpoint, take_whole
from stt_tune.speech.families.base import SpeechModel
from stt_tune.speech.finetune import TrainingSettings, finetune
from stt_tune.speech.model import load_model
from stt_tune.speech.report import EpochReport
from stt_tune.speech.trainer import SpeechTrainer
from tests.speech.families import make_families
from tests.speech.test_ranks import speech_of

_CONFIGURATION = {"learning_rate": 1e-3, "epochs": 3, "batch_size": 4, "dropout": 0.1}
_PATIENCE_S = 60


class _KilledError(Exception):
    pass


@pytest.fixture(scope="module")
def model(tiny: SpeechModel, tmp_path_factory: pytest.TempPathFactory) -> SpeechModel:
    folder = tmp_path_factory.mktemp("checkpoint") / "whisper"
    make_families(tiny)["whisper"](folder)
    return load_model(str(folder))


@pytest.fixture
def copied(monkeypatch: pytest.MonkeyPatch) -> None:
    """Copy what is written, as is done on GPUs alone; here to memory that no GPU writes to."""
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
    make = functools.partial(BlockingAsyncStager, cache_staged_state_dict=True)
    monkeypatch.setattr(checkpoint, "_make_stager", lambda _device, _state: make())


@pytest.fixture
def stepped(monkeypatch: pytest.MonkeyPatch) -> Event:
    """Is set by each step; whoever clears it can wait for the next."""
    event, step = Event(), SpeechTrainer.training_step

    def training_step(*given: Any) -> torch.Tensor:
        event.set()
        return step(*given)

    monkeypatch.setattr(SpeechTrainer, "training_step", training_step)
    return event


def _train(model: SpeechModel, report: Any, folder: Path | None = None, **options: Any) -> dict[str, torch.Tensor]:
    settings = TrainingSettings(seed=0, audio_context_s=4.0, normaliser="basic")
    network = finetune(_CONFIGURATION, speech_of(model), model, report, settings, checkpoints=folder, **options)
    return {name: each.detach().clone() for name, each in network.state_dict().items()}


def test_a_copy_is_written_while_the_training_goes_on(
    model: SpeechModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, copied: None, stepped: Event
) -> None:
    save, trained_in = torch.save, get_ident()

    def save_late(state: Any, path: Path) -> None:
        if get_ident() != trained_in:
            stepped.clear()
            assert stepped.wait(_PATIENCE_S)  # the weights have moved on
        save(state, path)

    def die(report: EpochReport) -> None:
        if report.epoch == 3:
            assert take_whole(tmp_path)
            raise _KilledError

    reports: list[EpochReport] = []
    expected = _train(model, reports.append)
    monkeypatch.setattr(torch, "save", save_late)
    with pytest.raises(_KilledError):
        _train(model, die, tmp_path)
    monkeypatch.setattr(torch, "save", save)
    resumed: list[EpochReport] = []
    weights = _train(model, resumed.append, tmp_path)
    assert [(each.epoch, each.train_loss) for each in resumed] == [(3, reports[-1].train_loss)]
    assert all(torch.equal(each, expected[name]) for name, each in weights.items())


def test_moments_that_come_later_are_copied_too(tmp_path: Path, copied: None) -> None:
    network = torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(network.parameters())
    writer = CheckpointWriter(torch.device("cpu"), None, pytest.fail)
    for step, parameter in enumerate((network.weight, network.bias, network.weight), start=1):
        parameter.grad = torch.ones_like(parameter)
        optimizer.step()
        path = name_checkpoint(tmp_path, step)
        path.mkdir()
        writer.begin(path, network, optimizer)
        expected = {name: each.clone() for name, each in network.state_dict().items()}
        torch.nn.init.zeros_(network.weight)
        writer.settle()
        weights = torch.load(path / "pytorch_model.bin", weights_only=True)
        assert all(torch.equal(weights[name], each) for name, each in expected.items())
        state = torch.load(path / "optimizer.pt", weights_only=True)["state"]
        assert {i: float(each["step"]) for i, each in state.items()} == {
            i: float(each["step"]) for i, each in optimizer.state_dict()["state"].items()
        }
    writer.close()
    assert [each.name for each in tmp_path.iterdir()] == ["checkpoint-3"]


def test_a_checkpoint_is_sent_while_the_training_goes_on_and_before_the_next_report(
    model: SpeechModel, tmp_path: Path, stepped: Event
) -> None:
    sent: list[Path] = []
    sent_before: list[int] = []

    def send(path: Path) -> None:
        stepped.clear()
        assert stepped.wait(_PATIENCE_S)
        sent.append(path)

    _train(model, lambda _report: sent_before.append(len(sent)), tmp_path, on_checkpoint=send)
    assert sent_before == [0, 1, 2]
    assert take_whole(tmp_path) == sent[-1]


def test_what_fails_in_sending_ends_the_training(model: SpeechModel, tmp_path: Path) -> None:
    def send(path: Path) -> None:
        raise _KilledError

    with pytest.raises(_KilledError):
        _train(model, lambda _report: None, tmp_path, on_checkpoint=send)


@pytest.mark.parametrize("stager", ["copied", "no memory", "none"])
def test_a_checkpoint_that_cannot_be_written_is_told_and_costs_nothing_else(
    model: SpeechModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stager: str
) -> None:
    class _FullStager:
        def stage(self, state: Any) -> Any:
            raise RuntimeError("CUDA error: out of memory")

    stagers: dict[str, Callable[[], Any]] = {
        "copied": BlockingAsyncStager,
        "no memory": _FullStager,
        "none": lambda: None,
    }
    monkeypatch.setattr(checkpoint, "_make_stager", lambda _device, _state: stagers[stager]())
    failing = functools.partial(_write_once, [])
    monkeypatch.setattr(checkpoint, "write_json", failing)
    told: list[str] = []
    reports: list[int] = []
    _train(model, lambda report: reports.append(report.epoch), tmp_path, tell=told.append)
    assert reports == [1, 2, 3]
    assert told == [f"{tmp_path}: this epoch's checkpoint cannot be written ([Errno 28] No space left on device)"]
    assert take_whole(tmp_path)  # the second one


def _write_once(calls: list[Path], path: Path, content: Any) -> None:
    calls.append(path)
    if len(calls) == 1:
        raise OSError(28, "No space left on device")
    write_json(path, content)
