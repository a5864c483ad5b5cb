"""What workers have to tell is said by the driver, whichever process has it to tell, and also at the very end."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import ray

from stt_tune.run import mailbox, wandb_function
from stt_tune.run.journal import Journal
from stt_tune.run.mailbox import tell_user
from stt_tune.run.reporting import report
from stt_tune.run.speech_trial import SpeechTask
from stt_tune.run.together import finetune_together
from stt_tune.speech.finetune import TrainingSettings
from stt_tune.speech.model import load_model
from stt_tune.speech.report import EpochReport
from tests.run import synthetic
from tests.speech.test_ranks import speech_of

pytestmark = pytest.mark.usefixtures("ray_session")


def test_last_words_are_said_those_of_a_trials_other_processes_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def train(config: dict[str, Any]) -> None:
        report(epoch=1, wer=0.5)
        tell_user("told by the trial")
        ray.get(ray.remote(num_cpus=0)(tell_user).remote("told by another process"))
        wandb_function._tell("it does not answer")

    monkeypatch.setattr(mailbox, "_LOOK_EVERY_S", math.inf)
    synthetic.run(tmp_path, train, trials=1)
    told = capfd.readouterr().err
    for each in ("told by the trial", "told by another process", "W&B: it cannot be reached (it does not answer)"):
        assert told.count(each) == 1


def test_what_a_training_cannot_keep_is_told(
    tmp_path: Path, small_model: str, capfd: pytest.CaptureFixture[str]
) -> None:
    model, folder = load_model(small_model), tmp_path / "gone"
    shared = ray.put(SpeechTask(speech_of(model), model, TrainingSettings(0, 4.0, "basic")))

    def train(config: dict[str, Any]) -> None:
        journal = Journal(str(folder / "checkpoints" / "trial"))

        def lose(each: EpochReport) -> None:
            shutil.rmtree(folder, ignore_errors=True)
            report(journal.enter(each.to_dict()))

        finetune_together({"epochs": 2, "batch_size": 8}, shared, lose, synthetic.ONE_AT_A_TIME, journal=journal)

    synthetic.run(tmp_path / "run", train, trials=1)
    told = capfd.readouterr().err
    assert f"{folder}/checkpoints/trial/reports.json: cannot be written ([Errno 2] No such file or directory" in told
    assert f"{folder}/checkpoints/trial: this epoch's checkpoint cannot be written ([Errno 2] No such file" in told
