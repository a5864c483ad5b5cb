"""Trials of two processes on real Ray, which is told that this machine has two GPUs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import ray
import torch

from stt_tune.run.cluster import TrialResources
from stt_tune.run.together import _train_other
from stt_tune.speech.families.base import SpeechModel
from tests.speech.families import make_families

_ROOT = Path(__file__).parents[2]

_SCRIPT = """
import json, sys
from pathlib import Path
import ray
from dataclasses import replace
from stt_tune.errors import SttTuneError
from stt_tune.run.anew import train_anew
from stt_tune.run.budget import Budget
from stt_tune.run.cluster import connect, find_resources
from stt_tune.run.speech_trial import SpeechTask, build_train, run_on_workers
from stt_tune.run.sweep import run_sweep
from stt_tune.speech.finetune import TrainingSettings
from stt_tune.speech.model import load_model
from tests.run.test_together import DamagedElsewhere, find_process
from tests.speech.test_ranks import speech_of

folder, answer = Path(sys.argv[1]), {}
ray.init(address="local", num_cpus=2, num_gpus=2, include_dashboard=False, log_to_driver=False)
model = load_model(sys.argv[2])
task = SpeechTask(speech_of(model), model, TrainingSettings(0, 4.0, "basic"))
asked = {"gpu": 2, "workers": 2}
sweep = {"name": "together", "method": "grid", "metric": {"name": "dev_loss", "goal": "minimize"},
         "parameters": {"epochs": {"value": 1000}, "batch_size": {"value": 4}}}
with connect(None):
    alone = find_resources(max_concurrent=None, per_trial={"gpu": 1})
    answer["processes"] = run_on_workers(find_process, [(0.3,)] * 6, alone, "failed")
    resources = find_resources(max_concurrent=None, per_trial=asked)
    answer["at a time"] = resources.max_concurrent
    done = run_sweep(sweep, build_train(task, resources, "dev_loss"), storage_path=folder / "run",
                     wandb_mode="disabled", resources_per_trial=asked, budget=Budget(time_s=1))
    answer["epochs"] = [report["epoch"] for report in done.table.trials[0].reports]
    configuration = {"epochs": 1, "batch_size": 4, "learning_rate": 1e-3}
    (trained,) = train_anew(task, [configuration], [1], resources, folder / "anew", "data")
    answer["test"] = len(trained[0].test)
    damaged = replace(task, data=replace(task.data, train=[
        replace(each, labels=DamagedElsewhere(each.labels)) for each in task.data.train]))
    try:
        train_anew(damaged, [configuration], [2], resources, folder / "anew", "data")
    except SttTuneError as error:
        answer["failure"] = str(error)
print("ANSWER", json.dumps(answer))
"""


def find_process(seconds: float) -> int:
    """Take a while in this process."""
    time.sleep(seconds)
    return os.getpid()


class DamagedElsewhere(list[int]):
    """Labels that the second process alone cannot read."""

    def __len__(self) -> int:
        if torch.distributed.is_initialized() and torch.distributed.get_rank() == 1:
            raise ValueError("damaged on purpose")
        return super().__len__()


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.device_count() == 1, reason="two processes need two GPUs, or none")
def test_trials_of_two_processes_report_each_epoch_once_and_leave_their_gpus_when_stopped(
    tmp_path: Path, tiny: SpeechModel
) -> None:
    checkpoint = tmp_path / "moonshine"
    make_families(tiny)["moonshine"](checkpoint)
    command = [sys.executable, "-c", _SCRIPT, str(tmp_path), str(checkpoint)]
    environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    answers = [line.removeprefix("ANSWER ") for line in done.stdout.splitlines() if line.startswith("ANSWER ")]
    assert answers, done.stderr
    found = json.loads(answers[0])
    assert len(set(found["processes"])) <= 2  # as many as GPUs: what one has set up serves its next call
    assert torch.cuda.is_available() or "torch can use none" in done.stderr
    assert found["at a time"] == 1
    assert found["epochs"] == list(range(1, len(found["epochs"]) + 1))
    assert 0 < len(found["epochs"]) < 1000
    assert found["test"] == 2  # trained by two processes, too, on the GPUs that the trial had
    assert found["failure"].endswith("another process of this training has failed: ValueError: damaged on purpose")


@pytest.mark.usefixtures("ray_session")
def test_a_process_whose_node_does_not_see_the_run_folder_says_so(tmp_path: Path) -> None:
    place = str(tmp_path / "run" / "checkpoints" / "trial")
    other = ray.remote(num_cpus=0, max_retries=0)(_train_other)
    task = other.remote(1, {}, [], "localhost:1", place, TrialResources(2, 0, 1, workers=2))
    with pytest.raises(ray.exceptions.RayTaskError, match=f"--out {tmp_path}/run: must lie where .* no such folder"):
        ray.get(task, timeout=30)
