"""Real workers that die: their trials go on, the others take no notice."""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ray

from stt_tune.errors import StorageError
from stt_tune.results.trials import Trial, TrialTable
from stt_tune.run import faults
from stt_tune.run.controller import describe_failure
from stt_tune.run.faults import read_faults
from stt_tune.run.reporting import report
from stt_tune.run.trainable import TrainingTask, build_trainable
from tests.run import synthetic

pytestmark = pytest.mark.usefixtures("ray_session")

_LOSSES = 3  # each takes a worker that starts


@pytest.fixture(autouse=True)
def _few_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "MOST_LOSSES", _LOSSES)


def _die_once_or_always(folder: Path) -> Any:
    """Half of all trials lose their worker after the first epoch: once, or whenever they are begun."""

    def train(config: dict[str, Any]) -> None:
        rate = config["learning_rate"]
        begun = folder / f"{rate}.begun"
        report(epoch=1, wer=rate)
        if rate < 0.25 or (rate < 0.5 and not begun.exists()):
            begun.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        report(epoch=2, wer=rate / 2)

    return train


def test_trials_whose_worker_dies_are_begun_again_and_fail_only_where_that_does_not_help(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    table = synthetic.run(tmp_path, _die_once_or_always(tmp_path), trials=8, scheduler="none")
    outcomes = set()
    for trial in table.trials:
        rate = trial.configuration["learning_rate"]
        retries = _LOSSES - 1 if rate < 0.25 else 1 if rate < 0.5 else 0
        assert (trial.status, trial.retries) == ("failed" if rate < 0.25 else "completed", retries)
        assert [each["epoch"] for each in trial.reports] == ([1] if rate < 0.25 else [1, 2])
        outcomes.add((trial.status, retries))
    assert len(outcomes) == 3
    assert TrialTable.load(tmp_path / "trials.parquet").to_arrow().equals(table.to_arrow())
    entries = read_faults(tmp_path / "faults.jsonl")
    assert len(entries) == sum(trial.retries + (trial.status == "failed") for trial in table.trials)
    assert {each["node"] for each in entries} == {ray.get_runtime_context().get_node_id()}
    assert "it is begun again" in capfd.readouterr().err


def _shorter_once_begun_again(folder: Path, then: float) -> Any:
    """Loses its worker after five epochs, and has come to its end after two when it is begun again."""

    def train(_config: dict[str, Any]) -> None:
        begun = folder / "begun"
        for epoch in (1, 2) if begun.exists() else range(1, 6):
            report(epoch=epoch, wer=then if begun.exists() else 0.1)
        if not begun.exists():
            begun.touch()
            time.sleep(1.0)  # until what it has reported is heard
            os.kill(os.getpid(), signal.SIGKILL)

    return train


@pytest.mark.parametrize(("then", "status"), [(0.5, "completed"), (float("nan"), "diverged")])
def test_the_result_is_that_of_the_attempt_that_came_to_its_end(tmp_path: Path, then: float, status: str) -> None:
    table = synthetic.run(tmp_path, _shorter_once_begun_again(tmp_path, then), trials=1)
    (trial,) = TrialTable.load(tmp_path / "trials.parquet").trials
    assert (trial.status, trial.retries, trial.last_epoch) == (status, 1, 2)
    assert trial.values("wer") == pytest.approx([then, then], nan_ok=True)
    assert table.ranking("wer", "min") == ([table.trials[0]] if status == "completed" else [])


def test_a_trial_that_is_gone_on_with_after_a_stop_has_the_result_of_its_last_attempt(tmp_path: Path) -> None:
    configuration = {"learning_rate": 0.5, "epochs": 3}
    before = [{"epoch": epoch, "wer": 0.001} for epoch in range(1, 6)]
    table = TrialTable(("wer",), [Trial("a", 0, True, configuration, reports=before)])
    (trial,) = synthetic.run(tmp_path, synthetic.falling, trials=1, table=table).trials
    assert (trial.status, trial.values("wer")) == ("completed", [0.5, 0.25, 0.5 / 3])


def _dying(when: str, killed: Path, times: int) -> Callable[[TrainingTask], Any]:
    """Makes trainables whose worker is killed when Ray calls that method of it, so many times in all."""

    class Dying:
        pass

    def die_or_go_on(self: Any, *given: Any) -> Any:
        deaths = len(killed.read_text()) if killed.exists() else 0
        if deaths < times:
            killed.write_text("x" * (deaths + 1))
            os.kill(os.getpid(), signal.SIGKILL)
        return getattr(super(Dying, self), when)(*given)

    def build(task: TrainingTask) -> Any:
        made: Any = build_trainable(task)
        made.__mixins__ = (Dying, *made.__mixins__)
        return made

    setattr(Dying, when, die_or_go_on)
    return build


@pytest.mark.parametrize("when", ["setup", "reset_config"])
def test_a_worker_that_dies_before_its_first_trial_or_its_next_costs_neither(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    monkeypatch.setattr(synthetic, "build_trainable", _dying(when, tmp_path / "killed", times=1))
    table = synthetic.run(tmp_path, synthetic.falling, trials=6, scheduler="none")
    assert (tmp_path / "killed").exists()
    assert table.counts() == {"completed": 6}
    assert sum(trial.retries for trial in table.trials) == 1
    (entry,) = read_faults(tmp_path / "faults.jsonl")
    assert "its worker process has died" in entry["reason"]
    assert (entry["node"], entry["outcome"]) == (ray.get_runtime_context().get_node_id(), "retried")


def test_a_trial_whose_workers_all_die_as_they_start_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(synthetic, "build_trainable", _dying("setup", tmp_path / "killed", times=9))
    (trial,) = synthetic.run(tmp_path, synthetic.falling, trials=1).trials
    assert (trial.status, trial.retries) == ("failed", _LOSSES - 1)


def _object_lost(config: dict[str, Any]) -> None:
    report(epoch=1, wer=config["learning_rate"])
    raise ray.exceptions.ObjectStoreFullError("the object store is full")


@pytest.mark.slow
def test_a_full_object_store_costs_no_sweep_and_is_tried_again(tmp_path: Path) -> None:
    table = synthetic.run(tmp_path, _object_lost, trials=2)
    assert [(trial.status, trial.retries) for trial in table.trials] == [("failed", _LOSSES - 1)] * 2
    assert all("object store is full" in (trial.error or "") for trial in table.trials)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), ("completed", 1)),
        (StorageError("s3://bucket/a: must be storage that can be reached, and is not"), ("completed", 1)),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "words.txt"), ("failed", 0)),
        (OSError("Can't load tokenizer for 'whisper-smal'"), ("failed", 0)),  # as transformers says it
        (ValueError("a mistake"), ("failed", 0)),
    ],
)
def test_a_disk_that_cannot_be_written_is_tried_again_and_an_error_of_the_training_is_not(
    tmp_path: Path, error: Exception, outcome: tuple[str, int]
) -> None:
    def train(config: dict[str, Any]) -> None:
        begun = tmp_path / "begun"
        report(epoch=1, wer=config["learning_rate"])
        if not begun.exists():
            begun.touch()
            raise error

    (trial,) = synthetic.run(tmp_path, train, trials=1).trials
    assert (trial.status, trial.retries) == outcome


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Traceback\n  File x\nValueError: a mistake\n", "ValueError: a mistake"),
        (
            'Traceback\n  File "a.py", line 1, in f\n    g()\n    ^^^\nValueError: two lines\nof which one is told',
            "ValueError: two lines",
        ),
        ("The actor died.\n\tpid: 7\nWorker died: OOM. Some common causes include: (1) ...", "Worker died: OOM."),
        (
            "2 workers were killed due to the node running low on memory.\nUsers: PID\nRefer to",
            "2 workers were killed due to the node running low on memory.",
        ),
        ("The actor died.\nIts node has died.\nThe actor never ran - it was cancelled.", "Its node has died."),
        ("", "no reason given"),
    ],
)
def test_a_failure_is_described_in_one_line(text: str, line: str) -> None:
    assert describe_failure(text) == line
