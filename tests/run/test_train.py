"""One configuration, trained as W&B's own agent has it trained."""

from __future__ import annotations

import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import wandb
from wandb.wandb_agent import Agent

from stt_tune.errors import DivergedError, SettingsError, StorageError, WandbError
from stt_tune.run import patience
from stt_tune.run import train as training
from stt_tune.run.settings import TuneSettings
from stt_tune.run.train import parse_hyperparameters, train
from stt_tune.run.wandb_runs import find_runs
from stt_tune.speech.report import METRICS, EpochReport
from stt_tune.sweep.config import SweepConfig
from tests.wandb_files import read_run, read_runs
from tests.wandb_server import serving


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--learning_rate=3e-5", "--batch_size=16"], {"learning_rate": 3e-5, "batch_size": 16}),
        (["--learning_rate", "0.00003", "--epochs", "4"], {"learning_rate": 3e-5, "epochs": 4}),
        (["--weight_decay=0.0", "--warmup_steps=0"], {"weight_decay": 0.0, "warmup_steps": 0}),
        ([], {}),
    ],
)
def test_hyperparameters_are_read_as_wandb_writes_them(arguments: list[str], expected: dict[str, Any]) -> None:
    assert parse_hyperparameters(arguments) == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--learning_rates=1"], "--learning_rates: no such hyperparameter; did you mean learning_rate?"),
        (["--epochs=2.5"], "--epochs: must be a whole number of at least 1, found 2.5"),
        (["--batch_size=many"], "--batch_size: must be a whole number of at least 1, found 'many'"),
        (["--learning_rate"], "--learning_rate: must have a value, such as --learning_rate=1, and has none"),
        (["--epochs", "--batch_size=3"], "--epochs: must have a value"),
        (["learning_rate=1"], "arguments must be hyperparameters such as --learning_rate=3e-5, found 'learning_rate'"),
    ],
)
def test_arguments_that_cannot_be_trained_with_are_refused(arguments: list[str], message: str) -> None:
    with pytest.raises(SettingsError, match=message.replace("?", r"\?")):
        parse_hyperparameters(arguments)


def test_a_folder_that_is_none_is_told_before_anything_loads(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match=r"--out .*file: must be a folder that can be written \(File exists\)"):
        train({}, TuneSettings("none.jsonl", "tiny.en"), tmp_path / "file")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "model").touch()
    with pytest.raises(SettingsError, match=r"--out .*model: must be a folder that can be written"):
        train({}, TuneSettings("none.jsonl", "tiny.en"), tmp_path / "out", tmp_path / "out" / "model")


def test_a_disk_that_is_full_when_the_model_is_there_is_told(
    tmp_path: Path, corpus: Path, small_model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "PATIENCE_S", 0.0)
    monkeypatch.setattr(wandb, "run", None)  # W&B would leave its disabled run there
    (tmp_path / "model" / "model.safetensors").mkdir(parents=True)  # refuses the weights, as a full disk would
    settings = TuneSettings(str(corpus), small_model, wandb="disabled")
    with pytest.raises(StorageError, match=r"model: must take the trained model, and cannot be written \(Is a dir"):
        train({"epochs": 1}, settings, tmp_path, tmp_path / "model")


def _see(monkeypatch: pytest.MonkeyPatch, after_one_epoch: BaseException) -> None:
    """Let a training meet something after its first epoch."""

    def finetune(*arguments: Any) -> None:
        real: Any = EpochReport
        arguments[3](
            real(**{each.name: {"diverged": False, "utterances": ()}.get(each.name, 1) for each in fields(real)})
        )
        raise after_one_epoch

    monkeypatch.setattr(training, "finetune", finetune)


@pytest.mark.parametrize(
    ("met", "status"),
    [
        (RuntimeError("the device is lost"), "failed"),
        (DivergedError("training diverged in epoch 2"), "diverged"),
        (KeyboardInterrupt(), "interrupted"),
    ],
)
def test_a_training_that_does_not_come_to_its_end_has_not_completed(
    met: BaseException, status: str, tmp_path: Path, corpus: Path, small_model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _see(monkeypatch, met)
    with pytest.raises(type(met)):
        train({"epochs": 2}, TuneSettings(str(corpus), small_model), tmp_path)
    (run,) = read_runs(tmp_path / "wandb").values()
    assert (run.summary["status"], run.summary["epoch"]) == (status, 1)


def test_a_run_that_wandb_refuses_is_kept_offline(
    tmp_path: Path, corpus: Path, small_model: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _see(monkeypatch, RuntimeError("trained"))
    with serving() as server:
        server.refused_operations = {"UpsertBucket"}
        with pytest.raises(RuntimeError, match="trained"):
            train({"epochs": 2}, TuneSettings(str(corpus), small_model, wandb="online"), tmp_path)
    assert f"which is kept offline; later: stt-tune wandb-sync {tmp_path}" in capsys.readouterr().err
    ((run,),) = find_runs(tmp_path / "wandb")
    assert (run.is_fallback, read_run(run.path).summary["epoch"]) == (True, 1)


def test_an_agents_run_that_wandb_refuses_is_told(
    tmp_path: Path, corpus: Path, small_model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_SWEEP_ID", "abc123")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    with serving() as server:
        server.refused_operations = {"UpsertBucket"}
        with pytest.raises(WandbError, match=r"take the run of its agent, and does not \(.*Nothing has been trained"):
            train({"epochs": 2}, TuneSettings(str(corpus), small_model), tmp_path)


@pytest.mark.slow
def test_wandbs_agent_can_run_it(tmp_path: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """W&B's own agent starts the program; only its server, which would name the run, cannot be reached here."""
    sweep = tmp_path / "sweep.yaml"
    program = [sys.executable, "-m", "stt_tune", "train", "--data", str(corpus)]
    sweep.write_text(
        "method: random\nmetric: {name: wer}\nproject: from-the-file\n"
        f"command: [{', '.join(program)}, '${{args}}']\n"
        "parameters: {learning_rate: {value: 3e-5}, epochs: {value: 1}, batch_size: {values: [8]}}\n"
    )
    config = SweepConfig.from_yaml(sweep)
    monkeypatch.chdir(tmp_path)
    for name, value in (("SWEEP_ID", "abc123"), ("MODE", "offline"), ("PROJECT", "agents"), ("DIR", str(tmp_path))):
        monkeypatch.setenv(f"WANDB_{name}", value)
    monkeypatch.setenv(wandb.env.RUN_ID, "")
    monkeypatch.setenv(wandb.env.SWEEP_PARAM_PATH, "")
    agent = Agent(api=None, queue=None, sweep_id="abc123")
    agent._sweep_command = config.to_dict()["command"]
    (configuration,) = SweepConfig.from_dict({**config.to_dict(), "method": "grid"}).grid()
    arguments = {name: {"value": value} for name, value in configuration.items()}
    response = agent._process_command({"type": "run", "run_id": "run42", "program": "train.py", "args": arguments})
    assert "exception" not in response, response
    assert agent._run_processes["run42"].wait() == 0

    (run,) = read_runs(tmp_path / "wandb").values()
    assert (run.id, run.project) == ("run42", "agents")
    assert {name: run.config[name] for name in configuration} == configuration
    assert run.config["weight_decay"] == 0.01
    (row,) = run.history
    assert {name for name in METRICS if not name.startswith("wer_")} <= set(row)  # no hypotheses, no kinds
    assert run.summary["status"] == "completed"
