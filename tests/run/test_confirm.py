"""Confirming, guarding, re-tuning, training with the config: real trainings on a little real speech."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stt_tune.errors import ManifestError, SettingsError
from stt_tune.results.confirmation import CANDIDATE, DEFAULT, INCUMBENT
from stt_tune.results.optimal_config import publish, read_optimal_config
from stt_tune.results.trials import COMPLETED, DIVERGED, Trial, TrialTable
from stt_tune.run.anew import train_anew
from stt_tune.run.cluster import find_resources
from stt_tune.run.confirm import confirm
from stt_tune.run.folder import RunFolder
from stt_tune.run.held_out import Planned, confirm_systems, plan_systems
from stt_tune.run.replacement import conclude, is_lower
from stt_tune.run.settings import TuneSettings
from stt_tune.run.speech_trial import SpeechTask
from stt_tune.speech.decode import measure_untrained
from stt_tune.speech.example import SpeechData
from stt_tune.speech.families.base import SpeechModel
from stt_tune.speech.finetune import TrainingSettings
from stt_tune.speech.rates import summarise
from stt_tune.sweep.metric import Metric

_SETTINGS = TuneSettings(data="data.jsonl", model="tiny.en", default={"epochs": 1, "batch_size": 8})
_DEFAULT = _SETTINGS.default_configuration()


def test_the_best_trials_are_confirmed_and_no_training_is_done_twice(own_run: RunFolder, ray_session: None) -> None:
    before = read_optimal_config(own_run.optimal_config)
    done = {path.name: path.stat().st_mtime_ns for path in own_run.confirm.iterdir()}
    document = confirm(own_run.path, top=1, trainings=2)
    held_out = document["held_out"]
    assert [each["role"] for each in held_out["systems"]] == [DEFAULT, CANDIDATE]
    assert held_out["seeds"] == [1, 2]
    assert document == read_optimal_config(own_run.optimal_config)
    assert document["data_profile"] == before["data_profile"]
    files = {path.name: path.stat().st_mtime_ns for path in own_run.confirm.iterdir()}
    assert done.items() <= files.items()
    assert len(files) == 5  # the base model, too
    start = time.monotonic()
    again = confirm(own_run.path, top=1, trainings=2)
    assert {path.name: path.stat().st_mtime_ns for path in own_run.confirm.iterdir()} == files
    assert again["held_out"]["wer"] == held_out["wer"]
    assert time.monotonic() - start < 60


def test_where_data_have_moved_to_is_told_once(
    own_run: RunFolder, corpus: Path, ray_session: None, tmp_path: Path
) -> None:
    moved = tmp_path / "moved" / corpus.name
    shutil.copytree(corpus.parent, moved.parent)
    run = own_run.read_run()
    own_run.note(settings={**run["settings"], "data": str(tmp_path / "gone.jsonl")})
    with pytest.raises(ManifestError, match=r"gone\.jsonl: .*; of a run whose data have moved, --data says where"):
        confirm(own_run.path, top=1, trainings=1)
    confirm(own_run.path, top=1, trainings=1, data=str(moved))
    assert own_run.read_run()["settings"] == {**run["settings"], "data": str(moved)}


def test_only_a_finished_run_can_be_confirmed(own_run: RunFolder) -> None:
    own_run.optimal_config.unlink()
    with pytest.raises(SettingsError, match=r"must be a finished run of stt-tune tune\.\nContinue with"):
        confirm(own_run.path)


def test_a_run_of_another_training_cannot_be_confirmed(own_run: RunFolder) -> None:
    run = own_run.read_run()
    del run["settings"]
    own_run.run.write_text(json.dumps(run))
    with pytest.raises(SettingsError, match=r"must be a run of stt-tune tune, and has a training function of its own"):
        confirm(own_run.path)


def _trial(number: int, wer: float, status: str = COMPLETED, **configuration: Any) -> Trial:
    return Trial(
        f"t{number}", number, number == 0, {**_DEFAULT, **configuration}, status, reports=[{"epoch": 1, "wer": wer}]
    )


def test_the_best_completed_trials_are_the_candidates() -> None:
    trials = [
        _trial(0, 0.2),
        _trial(1, 0.3, learning_rate=1e-4),
        _trial(2, 0.1, learning_rate=2e-4),
        _trial(3, 0.05, DIVERGED, learning_rate=3e-4),
        _trial(4, 0.15, learning_rate=4e-4),
        _trial(5, 0.01),  # the default's configuration once more
    ]
    table, metric = TrialTable(("wer",), trials), Metric("wer", "minimize")
    planned = plan_systems(table, metric, _SETTINGS, top=2)
    assert [(each.role, each.name) for each in planned] == [
        (DEFAULT, "default"),
        (CANDIDATE, "trial 2"),
        (CANDIDATE, "trial 4"),
    ]
    assert planned[1].promise == pytest.approx(0.5)
    with_incumbent = replace(_SETTINGS, incumbent={"learning_rate": 2e-4})
    planned = plan_systems(table, metric, with_incumbent, top=1)
    assert [each.name for each in planned] == ["default", "incumbent", "trial 4"]
    said = {"learning_rate": 2e-4, "lr_scheduler_type": "linear"}  # which is what it is where nothing is said
    planned = plan_systems(table, metric, replace(_SETTINGS, incumbent=said), top=1)
    assert [each.name for each in planned] == ["default", "incumbent", "trial 4"]
    assert planned[1].configuration == {**_DEFAULT, "learning_rate": 2e-4}


@pytest.mark.parametrize(
    ("incumbent", "roles"),
    [
        (None, [INCUMBENT]),
        (_DEFAULT, [INCUMBENT]),
        ({"learning_rate": 2e-4}, [DEFAULT, INCUMBENT]),  # production has moved on since
    ],
)
def test_a_retune_has_one_incumbent(incumbent: dict[str, Any] | None, roles: list[str]) -> None:
    settings = replace(_SETTINGS, retunes="c.json", incumbent=incumbent)
    planned = plan_systems(TrialTable(("wer",), []), Metric("wer", "minimize"), settings, top=0)
    assert [each.role for each in planned] == roles
    assert planned[-1].configuration == {**_DEFAULT, **(incumbent or {})}


@pytest.fixture
def task(speech: SpeechData, tiny: SpeechModel) -> SpeechTask:
    few = SpeechData(speech.train[:4], speech.dev[:1], speech.test[:4], guard=speech.dev[4:])
    return SpeechTask(few, tiny, TrainingSettings(seed=0, audio_context_s=None, normaliser="basic"))


@pytest.mark.slow
def test_what_forgets_is_refused_whatever_it_gains(tmp_path: Path, task: SpeechTask, ray_session: None) -> None:
    """A learning rate that ruins the model must not pass the guard, and must not be chosen."""
    ruinous = {**_DEFAULT, "learning_rate": 3e-3}
    planned = [
        Planned(DEFAULT, "default", {**_DEFAULT, "learning_rate": 1e-7}),
        Planned(CANDIDATE, "trial 1", ruinous, facts={"trial_id": "t1"}),
    ]
    resources = find_resources(max_concurrent=1)
    found = confirm_systems(RunFolder(tmp_path), task, planned, _SETTINGS, resources, trainings=1, data="d")
    default, candidate = found.to_dict()["systems"]
    assert "objection" not in default
    assert candidate["objection"].startswith("the guard's WER rises by ")
    assert candidate["guard"]["rise"] > 0.005
    assert found.verdict.chosen is None
    for examples, wer in (
        (task.data.test, found.to_dict()["base_wer"]),
        (task.data.guard, found.to_dict()["guard"]["base_wer"]),
    ):
        assert wer == pytest.approx(summarise(measure_untrained(task.model, examples, "basic")).wer)
    assert found.to_dict()["guard"]["utterances"] == len(task.data.guard)
    lenient = replace(_SETTINGS, guard_tolerance=1.0)
    same = confirm_systems(RunFolder(tmp_path), task, planned, lenient, resources, trainings=1, data="d")
    assert ("objection" in same.to_dict()["systems"][1]) == (candidate["guard"]["rise"] > 1.0)


def test_a_damaged_record_of_a_training_is_made_again(tmp_path: Path, task: SpeechTask, ray_session: None) -> None:
    resources = find_resources(max_concurrent=1)
    ((first,),) = train_anew(task, [_DEFAULT], [5], resources, tmp_path, "d")
    (path,) = tmp_path.iterdir()
    path.write_text("{")
    ((second,),) = train_anew(task, [_DEFAULT], [5], resources, tmp_path, "d")
    assert second.test == first.test
    assert json.loads(path.read_text())["diverged"] is False
    fewer = replace(task, data=replace(task.data, test=task.data.test[1:]))  # as other labels leave other cases
    ((third,),) = train_anew(fewer, [_DEFAULT], [5], resources, tmp_path, "d")
    assert [each.id for each in third.test] == [each.id for each in fewer.data.test]


def _document(wer: float = 0.08, incumbent: float = 0.1, decision: str = "winner", **system: Any) -> dict[str, Any]:
    candidate = {"role": CANDIDATE, "name": "trial 1", **system}
    return {
        "hyperparameters": {"learning_rate": 2e-5},
        "decision": decision,
        "held_out": {
            "wer": wer,
            "incumbent_wer": incumbent,
            "relative_gain": 1 - wer / incumbent,
            "interval": [0.1, 0.3],
            "p_value": 0.01,
            "systems": [{"role": INCUMBENT}, candidate],
        },
    }


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (_document(), None),
        (_document(wer=0.0951), "the new WER 0.0951 is not 5% below the incumbent's 0.1000"),
        (_document(wer=0.0), "a new WER of 0 is more likely a fault"),
        (_document(decision="incumbent_kept"), "the difference is not beyond chance"),
        (_document(objection="diverged in 1 of 3 trainings"), "diverged in 1 of 3 trainings"),
    ],
)
@pytest.mark.parametrize("record", [False, True])
def test_the_shared_file_is_replaced_only_by_what_is_really_better(
    tmp_path: Path, document: dict[str, Any], reason: str | None, record: bool
) -> None:
    config = tmp_path / "optimal_config.json"
    publish({"hyperparameters": {"learning_rate": 1e-5}, "owner": "us"}, config)
    before = config.read_bytes()
    settings = replace(_SETTINGS, default={"learning_rate": 1e-5}, retunes=str(config), min_gain=0.05, record=record)
    replacement = conclude(document, settings)
    assert replacement.replaced == (reason is None)
    after = read_optimal_config(config)
    if reason is None:
        assert after["hyperparameters"] == {"learning_rate": 2e-5}
        assert after["history"][-1]["event"] == "re-tuned"
        assert after["history"][-1]["before"]["hyperparameters"] == {"learning_rate": 1e-5}
    else:
        assert reason in replacement.reason
        assert (config.read_bytes() == before) is not record
        assert after["hyperparameters"] == {"learning_rate": 1e-5}
        assert [each["event"] for each in after["history"]] == (["kept"] if record else [])
    assert after["owner"] == "us"
    assert json.loads(json.dumps(replacement.to_dict()))["replaced"] is replacement.replaced


def test_a_file_that_others_changed_meanwhile_is_left_alone(tmp_path: Path) -> None:
    config = tmp_path / "optimal_config.json"
    publish({"hyperparameters": {"learning_rate": 7e-5}}, config)
    settings = replace(_SETTINGS, default={"learning_rate": 1e-5}, retunes=str(config), min_gain=0.05)
    before = config.read_bytes()
    replacement = conclude(_document(), settings)
    assert not replacement.replaced
    assert "changed by others meanwhile" in replacement.reason
    assert config.read_bytes() == before


@pytest.mark.parametrize("bad", [None, 0.0, -0.1, float("nan"), float("inf")])
def test_values_that_mean_nothing_never_replace_anything(bad: float | None) -> None:
    assert not is_lower(bad, 0.1, 0.05)
    assert not is_lower(0.05, bad, 0.05)
    assert is_lower(0.094, 0.1, 0.05)
    assert not is_lower(0.095, 0.1, 0.05)
