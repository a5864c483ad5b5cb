"""Cases told apart by kind, and configurations for single kinds."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from stt_tune.demo.corpus import CorpusSize, make_corpus
from stt_tune.errors import ManifestError, SettingsError, SweepConfigError
from stt_tune.results.optimal_config import update_config
from stt_tune.results.statistics import Interval
from stt_tune.results.trials import COMPLETED, Trial, TrialTable
from stt_tune.run.cluster import find_resources
from stt_tune.run.export import _choose, describe_kinds, export, judge_kinds
from stt_tune.run.folder import RunFolder
from stt_tune.run.labels import check_objective, keep_kind, label_cases
from stt_tune.run.settings import TuneSettings
from stt_tune.run.speech_trial import SpeechTask
from stt_tune.run.tune import TuneResult, load_prepared
from stt_tune.speech.decode import measure
from stt_tune.speech.example import Example, SpeechData
from stt_tune.speech.families.base import SpeechModel
from stt_tune.speech.finetune import TrainingSettings
from stt_tune.speech.manifest import read_manifest
from stt_tune.speech.normalisers import load_normaliser
from stt_tune.speech.rates import count_errors
from stt_tune.sweep.config import SweepConfig


@pytest.fixture
def task(speech: SpeechData, tiny: SpeechModel) -> SpeechTask:
    return SpeechTask(speech, tiny, TrainingSettings(seed=0, audio_context_s=None, normaliser="basic"))


def test_what_the_base_model_hears_tells_the_kind_where_nothing_else_does(ray_session: None, task: SpeechTask) -> None:
    known = [replace(task.data.dev[0], kind="insertion", is_labelled=True), *task.data.dev[1:4]]
    labelled = label_cases(
        replace(task, data=replace(task.data, dev=known)), find_resources(max_concurrent=1), ("dev",)
    )
    heard = measure(task.model.build(), known, task.model, audio_context_s=30, normalise=load_normaliser("basic"))
    assert [each.kind for each in labelled.data.dev] == ["insertion", *(each.kind for each in heard.utterances[1:])]
    assert all(each.is_labelled for each in labelled.data.dev)
    assert not any(each.is_labelled for each in labelled.data.test)


def test_one_kind_alone_is_left(task: SpeechTask) -> None:
    kinds = ("deletion", "substitution", "deletion", None)
    marked = {
        split: [replace(each, kind=kinds[i % 4]) for i, each in enumerate(getattr(task.data, split))]
        for split in ("train", "dev", "test")
    }
    marked_task = replace(task, data=SpeechData(**marked))
    left = keep_kind(marked_task, "deletion").data
    assert (len(left.train), len(left.dev), len(left.test)) == (8, 4, 4)
    assert {each.kind for each in (*left.train, *left.dev, *left.test)} == {"deletion"}
    with pytest.raises(ManifestError, match=r"--only-error-type insertion: .* found 0 train, 0 dev, 0 test"):
        keep_kind(marked_task, "insertion")


def test_an_objective_without_cases_is_refused(task: SpeechTask, capsys: pytest.CaptureFixture[str]) -> None:
    dev = [replace(each, kind="deletion") for each in task.data.dev]
    sweep = SweepConfig.from_dict(
        {"method": "random", "metric": {"name": "wer_insertion"}, "parameters": {"epochs": {"value": 1}}}
    )
    with pytest.raises(SweepConfigError, match="wer_insertion needs dev cases of that kind, found none"):
        check_objective(sweep, replace(task, data=replace(task.data, dev=dev)))
    assert "dev cases by kind of error: 0 substitution, 8 deletion" in capsys.readouterr().err


def test_the_kinds_of_the_real_error_cases(digits: Path) -> None:
    normalise = load_normaliser("digits")
    rows = [json.loads(line) for line in (digits / "manifest.jsonl").read_text().splitlines()]
    utterances, _ = read_manifest(digits / "manifest.jsonl", max_duration_s=30, normalise=normalise)
    assert len(utterances) == 394
    ids, texts, heard = ([row[name] for row in rows] for name in ("id", "text", "hypothesis"))
    kinds = Counter(each.kind for each in count_errors(ids, texts, heard, normalise))
    assert sum(kinds.values()) == 394
    assert kinds[None] == 0
    assert min(kinds[kind] for kind in ("substitution", "deletion", "insertion", "pronunciation")) > 0


def test_each_trial_leaves_what_it_heard(small_run: TuneResult) -> None:
    for trial in small_run.table.trials:
        table = pq.read_table(small_run.folder.utterances / f"{trial.trial_id}.parquet")
        rows = table.to_pylist()
        wrong = sum(row["substitutions"] + row["deletions"] + row["insertions"] for row in rows)
        assert wrong / sum(row["words"] for row in rows) == pytest.approx(trial.last("wer"))
        assert {row["system"] for row in rows} == {trial.trial_id}
        assert table.schema.metadata[b"normaliser"].startswith(b"basic/1 whisper-normalizer/")


def test_a_finished_run_is_exported_with_what_helps_single_kinds(
    own_run: RunFolder, small_run: TuneResult, ray_session: None, tmp_path: Path
) -> None:
    document, results = export(own_run.path, str(tmp_path / "config.json"), per_error_type=True)
    assert [each.kind for each in results] == ["substitution", "deletion", "insertion", "pronunciation"]
    assert sum(each.cases for each in results) <= 8
    assert document["hyperparameters"] == small_run.document["hyperparameters"]
    assert set(document["by_error_type"]) == {each.kind for each in results if each.is_better}
    assert json.loads((tmp_path / "config.json").read_text())["by_error_type"] == document["by_error_type"]
    assert len(describe_kinds(results)) == 4
    with pytest.raises(SettingsError, match="must be the folder of a run"):
        export(tmp_path, str(tmp_path / "other.json"), per_error_type=False)


def test_what_the_guard_refuses_is_no_configuration_for_a_kind_either(
    own_run: RunFolder, corpus: Path, ray_session: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard = make_corpus(CorpusSize(train=2, dev=2, test=2), seed=7, cache=tmp_path / "cache")
    settings = {**own_run.read_run()["settings"], "guard": str(guard)}
    own_run.note(settings=settings, beside_hash=load_prepared(TuneSettings.from_dict(settings)).beside_hash)
    general = {**settings["default"], "epochs": 1, "learning_rate": 2e-6}  # no trial has it
    update_config(own_run.optimal_config, lambda before: {**before, "hyperparameters": general})
    rises: list[Interval] = []

    def refuse(rise: Interval, _tolerance: float) -> str:
        rises.append(rise)
        return "it forgets too much"

    monkeypatch.setattr("stt_tune.run.export.find_objection", refuse)
    document, results = export(own_run.path, str(tmp_path / "config.json"), per_error_type=True)
    compared = [each for each in results if each.trial]
    assert len(rises) == len(compared) > 0
    assert document["by_error_type"] == {}
    assert sum("it forgets too much, the general one stays" in line for line in describe_kinds(results)) == len(rises)


def test_a_kind_has_its_own_configuration_only_beyond_chance() -> None:
    def trial(number: int, deletion: float) -> Trial:
        reports = [{"epoch": 1, "wer": 0.5, "wer_deletion": deletion}]
        return Trial(f"t{number}", number, number == 0, {"epochs": number}, COMPLETED, reports=reports)

    table = TrialTable(("wer",), [trial(0, 0.3), trial(1, 0.1), trial(2, 0.2)])
    assert {kind: each.number for kind, each in _choose(table, lambda trial: trial.number != 0).items()} == {
        "deletion": 1
    }
    assert _choose(table, lambda trial: trial.number != 1) == {}
    kinds = ["deletion", "substitution"] * 30 + [None] * 10
    cases = [Example(str(i), "", np.zeros(0), [], kind) for i, kind in enumerate(kinds)]
    words, general = np.full(70, 10), np.full((2, 70), 4.0)
    better, noise = np.tile(np.arange(70) % 3, (2, 1)) * 1.0, general + (-1.0) ** (np.arange(70) // 2)
    chosen = {"deletion": table.trials[1], "substitution": table.trials[2], "pronunciation": table.trials[2]}
    own = {"deletion": better, "substitution": noise, "pronunciation": None}
    drawn, won, none, diverged = results = judge_kinds(cases, words, chosen, general, own, seed=0)
    assert won.is_better
    assert (won.cases, won.wer, won.general_wer) == (30, pytest.approx(0.1), pytest.approx(0.4))
    assert won.to_dict()["hyperparameters"] == {"epochs": 1}
    assert not drawn.is_better
    assert (none.gain, diverged.gain, diverged.is_better) == (None, None, False)
    lines = describe_kinds(results)
    assert lines[1].endswith("its own configuration.")
    assert "not beyond chance, the general one stays" in lines[0]
    assert lines[2] == "insertion (0 test cases): no other configuration to compare, the general one stays."
    assert lines[3] == "pronunciation (0 test cases): trial 2 diverged when trained anew, the general one stays."
