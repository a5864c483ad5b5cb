"""A whole sweep whose data and run folder lie in S3: killed on one machine, finished on another one."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import soundfile
from transformers import HubertConfig

from stt_tune.errors import SettingsError
from stt_tune.results.optimal_config import read_optimal_config
from stt_tune.results.trials import COMPLETED, TrialTable
from stt_tune.run.loading import load_trials
from stt_tune.run.settings import TuneSettings
from stt_tune.run.tune import tune
from tests.s3 import running_s3
from tests.speech.families import LETTERS, make_waveform_ctc

_CLI = Path(sys.executable).with_name("stt-tune")
_SWEEP = """\
name: small
method: random
parameters:
  learning_rate: {min: 1e-5, max: 1e-3, distribution: log_uniform_values}
  batch_size: {value: 4}
  epochs: {value: 2}
"""
_TEXTS = ("one two", "seven", "four six", "two", "eight nine", "three", "six", "nine")


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    with running_s3() as bucket:
        yield bucket


def _write_speech(url: str) -> None:
    system, root = fsspec.url_to_fs(url)
    rng = np.random.default_rng(0)
    rows = []
    for i, text in enumerate(_TEXTS):
        file = io.BytesIO()
        soundfile.write(file, rng.normal(0, 0.1, 16_000), 16_000, format="WAV")
        system.pipe_file(f"{root}/clips/{i}.wav", file.getvalue())
        split = "train" if i < 4 else "dev" if i < 6 else "test"
        rows.append({"audio": f"clips/{i}.wav", "text": text, "split": split})
    system.pipe_file(f"{root}/manifest.jsonl", "\n".join(map(json.dumps, rows)).encode())


def _read_table(url: str, folder: Path) -> TrialTable:
    system, root = fsspec.url_to_fs(url)
    try:
        (folder / "trials.parquet").write_bytes(system.cat_file(f"{root}/trials.parquet"))
    except FileNotFoundError:
        return TrialTable(("wer",))
    return TrialTable.load(folder / "trials.parquet")


def _on_machine(folder: Path) -> dict[str, Any]:
    return {"env": {**os.environ, "XDG_CACHE_HOME": str(folder)}, "text": True, "cwd": folder}


@pytest.mark.slow
def test_a_sweep_in_s3_is_killed_and_finished_by_another_machine(s3: str, tmp_path: Path) -> None:
    data, out = f"{s3}/{tmp_path.name}/speech", f"{s3}/{tmp_path.name}/runs/small"
    machines = [tmp_path / "one", tmp_path / "two"]
    for machine in machines:
        machine.mkdir()
    _write_speech(data)
    make_waveform_ctc(HubertConfig, letters=LETTERS.upper())(tmp_path / "hubert")
    (tmp_path / "small.yaml").write_text(_SWEEP)
    command = [
        _CLI, "tune", tmp_path / "small.yaml", "--data", f"{data}/manifest.jsonl", "--out", out, "--trials", "3",
        "--model", tmp_path / "hubert", "--max-concurrent", "2", "--keep-best-model", "--scheduler", "none",
        "--wandb", "disabled",
    ]  # fmt: skip
    with (tmp_path / "said").open("w") as said:
        driver = subprocess.Popen(command, stdout=said, stderr=said, **_on_machine(machines[0]))
        while not _read_table(out, tmp_path).ended():
            assert driver.poll() is None, (tmp_path / "said").read_text()
            time.sleep(0.1)
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    done_before = [trial.trial_id for trial in _read_table(out, tmp_path).ended()]
    resumed = subprocess.run([_CLI, "resume", out, "--json"], capture_output=True, **_on_machine(machines[1]))
    assert resumed.returncode == 0, resumed.stderr
    assert json.loads(resumed.stdout)["run"] == out

    table = _read_table(out, tmp_path)
    assert [trial.status for trial in table.trials] == [COMPLETED] * 3
    assert {*done_before} <= {trial.trial_id for trial in table.trials}
    assert list(load_trials(out)["status"]) == [COMPLETED] * 3
    with pytest.raises(SettingsError, match=f"{data}/trials.parquet: must be the trial table of a run, and is not"):
        load_trials(data)
    document = read_optimal_config(f"{out}/optimal_config.json")
    assert (document["run"], document["trials"]) == (out, 3)
    assert document["dev"]["winner"]["utterances"] == 2  # as workers have sent it
    system, root = fsspec.url_to_fs(out)
    system.invalidate_cache()
    there = {each[len(root) + 1 :] for each in system.find(root)}
    assert {f"utterances/{trial.trial_id}.parquet" for trial in table.trials} <= there
    assert {"run.json", "sweep.yaml", "held_out.parquet", "best_model/model.safetensors"} <= there
    assert not [each for each in there if each.startswith(("models/", "ray/"))]
    told = f"{out}: must not hold a run yet, and does. .*\\nIt is finished: see {out}/optimal_config.json"
    with pytest.raises(SettingsError, match=told):
        tune(tmp_path / "small.yaml", TuneSettings(data, "tiny.en"), out)
