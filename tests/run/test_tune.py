"""The main job's product: what a finished run folder holds."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from stt_tune.errors import SettingsError
from stt_tune.files import write_json
from stt_tune.results.optimal_config import read_optimal_config
from stt_tune.results.trials import TrialTable
from stt_tune.run.folder import RunFolder
from stt_tune.run.places import MIRRORED
from stt_tune.run.resume import resume
from stt_tune.run.settings import TuneSettings
from stt_tune.run.summary import describe_result
from stt_tune.run.tune import TuneResult
from stt_tune.run.verdict import describe_held_out
from tests.conftest import SMALL_SWEEP
from tests.run.tables import wait_for_table


def test_the_run_folder_explains_itself(small_run: TuneResult) -> None:
    folder = small_run.folder
    assert folder.sweep.read_text() == SMALL_SWEEP
    run = folder.read_run()
    assert TuneSettings.from_dict(run["settings"]).trials == 4
    assert run["seed"] == 0
    assert run["sweep_hash"] == hashlib.sha256(SMALL_SWEEP.encode()).hexdigest()
    assert run["utterances"] == {"train": 16, "dev": 8, "test": 8}
    assert {"ray", "torch", "transformers", "wandb", "stt-tune"} <= set(run["versions"])
    assert len(run["data_hash"]) == 64
    assert len(run["model_hash"]) == 32


def test_the_table_holds_every_trial_and_its_configuration(small_run: TuneResult) -> None:
    table = TrialTable.load(small_run.folder.trials)
    assert [trial.number for trial in table.trials] == [0, 1, 2, 3]
    assert [trial.is_default for trial in table.trials] == [True, False, False, False]
    default = table.trials[0]
    assert default.status == "completed"
    assert default.configuration["learning_rate"] == 1e-5
    for trial in table.trials:
        assert trial.status in ("completed", "stopped_early", "diverged")
        assert trial.reports[-1]["epoch"] <= trial.configuration["epochs"]
        # what the sweep leaves out comes from the default
        assert trial.configuration["weight_decay"] == default.configuration["weight_decay"]


def test_the_config_holds_what_was_measured(small_run: TuneResult) -> None:
    document = read_optimal_config(small_run.folder.optimal_config)
    assert document == small_run.document
    winner, table = small_run.winner, small_run.table
    assert document["metric_value"] == pytest.approx(winner.last("wer"), rel=1e-5)
    assert document["default_metric_value"] == pytest.approx(table.trials[0].last("wer"), rel=1e-5)
    assert document["metric_value"] <= document["default_metric_value"]
    assert document["trials"] == 4
    assert document["sweep"] == "small"
    held_out = document["held_out"]
    assert held_out["utterances"] == 8
    assert held_out["audio_context_s"] == 30
    assert held_out["seeds"] == [1, 2]
    low, high = held_out["interval"]
    assert low <= held_out["relative_gain"] <= high
    is_better = document["decision"] == "winner"
    assert is_better == (low > 0 and held_out["p_value"] < 0.05)
    chosen = winner.configuration if is_better else table.trials[0].configuration
    for name, value in document["hyperparameters"].items():
        assert value == pytest.approx(chosen[name], rel=1e-5)


def test_the_held_out_rates_follow_from_the_utterances(small_run: TuneResult) -> None:
    rows = pq.read_table(small_run.folder.held_out).to_pylist()
    held_out = small_run.document["held_out"]
    for system in held_out["systems"]:
        for seed, stated in zip(held_out["seeds"], system["wer_by_seed"], strict=True):
            mine = [row for row in rows if (row["system"], row["seed"]) == (system["name"], seed)]
            assert len(mine) == 8
            errors = sum(row["substitutions"] + row["deletions"] + row["insertions"] for row in mine)
            assert errors / sum(row["words"] for row in mine) == pytest.approx(stated, rel=1e-5)
        assert np.mean(system["wer_by_seed"]) == pytest.approx(system["wer"], rel=1e-5)
        low, high = system["wer_interval"]
        assert low <= system["wer"] <= high
        assert system["training_s"] > 0
    if held_out["default_wer"]:
        assert held_out["relative_gain"] == pytest.approx(1 - held_out["wer"] / held_out["default_wer"], abs=1e-4)


def test_what_is_to_be_uploaded_to_wandb_lies_at_a_path_also_where_the_run_lies_at_a_url(
    small_run: TuneResult, own_run: RunFolder
) -> None:
    write_json(own_run.path / MIRRORED, {"url": "s3://bucket/runs/small", "copy": "this one"})
    text = "\n".join(describe_result(replace(small_run, folder=own_run)))
    assert "Run:     s3://bucket/runs/small (" in text
    assert f"stt-tune wandb-sync {own_run.path})" in text


def test_the_output_says_what_was_found_and_where_it_is(small_run: TuneResult) -> None:
    text = "\n".join(describe_result(small_run))
    assert str(small_run.folder.optimal_config) in text
    assert "On held-out speech (8 utterances of 6 speakers at 30 s context), each trained anew twice:" in text
    low, high = small_run.document["held_out"]["base_wer_interval"]
    base = small_run.document["held_out"]["base_wer"]
    assert f"  base model, untrained: WER {base:.4f} (95 % interval {low:.4f} to {high:.4f})" in text
    assert "default: WER " in text
    candidate = {**small_run.document["held_out"]["systems"][0], "role": "candidate", "name": "trial 2"}
    for decision, expected in (
        ("winner", "relative gain +50.0% (95 % interval +10.0% to +80.0%)."),
        ("default_kept", "It is not better beyond chance: the default configuration stays."),
    ):
        held_out = {
            **small_run.document["held_out"],
            "relative_gain": 0.5,
            "interval": [0.1, 0.8],
            "p_value": 0.2,
            "compared_with": "default",
            "systems": [small_run.document["held_out"]["systems"][0], candidate],
        }
        held_out["wer"] = 0.2  # what the small model says is of no use, which would be told
        document = {**small_run.document, "decision": decision, "held_out": held_out}
        assert expected in "\n".join(describe_held_out(document))
        candidate["promised_gain"] = 0.5
        assert "; dev promised +50.0% over the default;" in "\n".join(describe_held_out(document))
        lines = describe_held_out({**document, "metric": "dev_loss"})
        assert "; dev promised +50.0% of dev_loss over the default;" in "\n".join(lines)
        for low, high, p_value, noise, why in (
            (-0.4, -0.1, 1.0, 0.1, "It is worse"),
            (-0.1, 0.6, 0.0002, 0.1, "differ in their seed alone, and p does not"),
            (-0.1, 0.6, 0.0002, 0.0, "It is not better beyond chance, as the interval reaches 0"),
            (-0.1, 0.6, 0.2, 0.1, "It is not better beyond chance"),
            (0.1, 0.6, 0.001, 0.1, "It is less than was asked for"),
        ):
            told = {**held_out, "interval": [low, high], "p_value": p_value, "training_noise": noise}
            lines = describe_held_out({**document, "decision": "incumbent_kept", "held_out": told})
            assert lines[-1].endswith(f"{why}: the incumbent stays.")
        refused = {**candidate, "objection": "diverged in 1 of 2 trainings"}
        held_out["systems"] = [held_out["systems"][0], refused]
        lines = describe_held_out({**document, "decision": "default_kept"})
        assert "diverged in 1 of 2 trainings" in "\n".join(lines)
        assert lines[-1] == "No candidate can be taken: the default configuration stays."


def test_a_run_whose_data_changed_is_not_resumed(small_run: TuneResult, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "copy")
    shutil.copytree(small_run.folder.path, folder.path, ignore=shutil.ignore_patterns("ray", "wandb"))
    folder.optimal_config.unlink()
    document = json.loads(folder.run.read_text())
    manifest = Path(document["settings"]["data"])
    changed = manifest.parent / "changed.jsonl"
    changed.write_text(manifest.read_text().replace('"text": "', '"text": "now ', 1))
    document["settings"]["data"] = str(changed)
    folder.run.write_text(json.dumps(document))
    with pytest.raises(SettingsError, match="must be the data that the run began with, and has changed"):
        resume(folder.path)


def test_a_run_whose_model_changed_is_not_resumed(own_run: RunFolder) -> None:
    own_run.optimal_config.unlink()
    own_run.note(model_hash="of other weights")
    with pytest.raises(SettingsError, match="must be the model that the run began with, and has other weights now"):
        resume(own_run.path)


def test_a_damaged_run_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sweep.yaml").write_text(SMALL_SWEEP)
    for content in ("{", "{}", '{"sweep": "a", "seed": 0, "settings": {"nonsense": 1}}', "[]"):
        (tmp_path / "run.json").write_text(content)
        with pytest.raises(SettingsError):
            resume(tmp_path)


@pytest.mark.slow
def test_ctrl_c_exits_130_keeps_what_is_done_and_resume_finishes_it(
    tmp_path: Path, corpus: Path, small_model: str
) -> None:
    """A real process, interrupted once its first trial has ended, then resumed."""
    sweep = tmp_path / "small.yaml"
    sweep.write_text(SMALL_SWEEP)
    default = tmp_path / "default.yaml"
    default.write_text("{epochs: 1, batch_size: 8}")
    out = tmp_path / "run"
    command = [
        sys.executable, "-m", "stt_tune", "tune", str(sweep), "--data", str(corpus), "--model", small_model,
        "--default", str(default), "--trials", "4", "--out", str(out), "--wandb", "offline",
    ]  # fmt: skip
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        table = wait_for_table(out, lambda table: bool(table.ended()))
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"Continue with: stt-tune resume {out}" in err
    assert "Traceback" not in err
    resumed = subprocess.run(
        [sys.executable, "-m", "stt_tune", "resume", str(out), "--json"], capture_output=True, text=True, check=True
    )
    document = json.loads(resumed.stdout)
    finished = TrialTable.load(out / "trials.parquet")
    assert len(finished.ended()) == document["trials"] == 4
    first = {trial.number: trial.trial_id for trial in table.ended()}
    assert {trial.number: trial.trial_id for trial in finished.trials if trial.number in first} == first
    assert math.isfinite(document["held_out"]["wer"])


@pytest.mark.slow
def test_sigterm_while_confirming_ends_the_run_as_ctrl_c_does(tmp_path: Path, corpus: Path, small_model: str) -> None:
    sweep = tmp_path / "one.yaml"
    sweep.write_text("method: random\nparameters: {epochs: {value: 1}}\n")
    default = tmp_path / "default.yaml"
    default.write_text("{epochs: 1, batch_size: 8}")
    out = tmp_path / "run"
    command = [
        sys.executable, "-m", "stt_tune", "tune", str(sweep), "--data", str(corpus), "--model", small_model,
        "--default", str(default), "--trials", "1", "--out", str(out), "--wandb", "disabled",
    ]  # fmt: skip
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        told = []
        for line in process.stderr:
            told.append(line)
            if line.startswith("confirming: 2 trainings"):
                break
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130, "".join(told) + err
    assert f"Continue with: stt-tune resume {out}" in err
    assert not (out / "optimal_config.json").exists()
