"""The report: what it answers, in which order, for runs of every state, safely and quickly."""

from __future__ import annotations

import html
import json
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import fsspec
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from stt_tune.cli import app
from stt_tune.errors import SettingsError
from stt_tune.files import write_json
from stt_tune.results.optimal_config import read_optimal_config, update_config
from stt_tune.results.report import pictures
from stt_tune.results.report.alignment import align
from stt_tune.results.report.blocks import Section
from stt_tune.results.report.comparison import compare_runs, tabulate_runs
from stt_tune.results.report.importance import ENOUGH_TRIALS, Surrogate
from stt_tune.results.report.page import answer_all
from stt_tune.results.report.random_search import expect_random_search
from stt_tune.results.trials import COMPLETED, FAILED, STOPPED_EARLY, Trial, TrialTable
from stt_tune.run import lease
from stt_tune.run.folder import SETTINGS, RunFolder
from stt_tune.run.lease import LEASE
from stt_tune.run.report import read_record, read_records, refresh_report, write_report
from stt_tune.run.spent import Spent
from stt_tune.run.verdict import describe_held_out
from tests.results.made_runs import DEFAULT, HOSTILE, make_run, make_sweep

_QUESTIONS = [
    "Did tuning help, and by how much?",
    "Where did the hours go?",
    "Which settings matter?",
    "How did learning go?",
    "Which errors remain?",
    "What does it cost to use?",
    "What was run?",
]
_MOST_BYTES = 8_000_000


def _write(*folders: RunFolder) -> str:
    page = Path(write_report([each.path for each in folders])[0])
    assert page.stat().st_size < _MOST_BYTES
    return page.read_text()


def _without_scripts(page: str) -> str:
    return re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)


def _headings(page: str, level: int) -> list[str]:
    return [html.unescape(re.sub("<.*?>", "", each)) for each in re.findall(rf"<h{level}[^>]*>(.*?)</h{level}>", page)]


def _answers(folder: RunFolder) -> dict[str, str]:
    return {each.question: " ".join(each.answer) for each in answer_all(read_record(folder))}


def _make_own(path: Path, values: Sequence[float], **options: str) -> RunFolder:
    """Make the folder of a sweep over a training of one's own, whose trials report nothing but these values."""
    folder = RunFolder(path)
    sweep = make_sweep("random", {"learning_rate": {"min": 0.1, "max": 1.0}}, **options)
    folder.start(sweep, 0, None)
    trials = [
        Trial(
            f"t{i}",
            i,
            False,
            {"learning_rate": (i + 1) / len(values)},
            COMPLETED,
            reports=[{"epoch": 1, sweep.metric.name: value}],
        )
        for i, value in enumerate(values)
    ]
    TrialTable([sweep.metric.name], trials).save(folder.trials)
    folder.note(num_trials=len(values))
    return folder


def _compare(*folders: RunFolder) -> Section:
    return compare_runs(read_records(folders))


def test_the_page_answers_the_seven_questions_in_order(tmp_path: Path) -> None:
    page = _write(make_run(tmp_path / "run", 60))
    assert _headings(page, 2) == _QUESTIONS
    assert page.count("<main>") == page.count("<h1>") == 1


def test_every_figure_has_a_text_and_every_table_a_header(tmp_path: Path) -> None:
    page = _without_scripts(_write(make_run(tmp_path / "run", 60)))
    plots = re.findall(r'class="plot" id="([^"]+)" role="img" aria-label="([^"]*)"', page)
    captions = re.findall(r"<figcaption>(.+?)</figcaption>", page)
    assert len(plots) == len(captions) >= 10
    assert all(len(label) > 20 for _id, label in plots)
    assert len({name for name, _label in plots}) == len(plots)
    tables = re.findall(r'<table aria-labelledby="([^"]+)">\s*<thead>', page)
    assert len(tables) == len(set(tables)) == page.count("<table") > 4
    assert all(f' id="{name}">' in page for name in tables)


def test_the_page_names_no_other_file(tmp_path: Path) -> None:
    page = _write(make_run(tmp_path / "run", 30))
    assert not re.findall(r'(?:src|href)="(?!#|data:)[^"]*"', _without_scripts(page))
    assert "<script src" not in page
    assert "default-src 'none'" in page


def test_a_gain_is_told_with_its_interval_and_the_promise_of_dev(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", 30)
    assert _answers(folder)[_QUESTIONS[0]].startswith("Yes: on held-out speech the WER is 0.1000 instead of")
    page = _without_scripts(_write(folder))
    assert "gain that dev promised" in page
    assert "+40.0% to +75.0%" in page


def test_what_is_said_of_several_candidates_leads_to_the_table(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", 30)
    update_config(folder.optimal_config, lambda d: {**d, "held_out": {**d["held_out"], "choice": "cross-fitting"}})
    answer = _answers(folder)[_QUESTIONS[0]]
    assert "each trained anew twice, as the table says." in answer
    assert "so the table flatters the best candidate; the verdict does not." in answer
    told = describe_held_out(folder.read_config())
    assert told[0].endswith("each trained anew twice:")
    assert any("so the lines above flatter the best candidate" in each for each in told)


def test_what_dev_promised_is_told_with_what_it_is_of(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", 30, sweep=make_sweep(metric="dev_loss"), decision=None)
    update_config(folder.optimal_config, lambda _: read_optimal_config(make_run(tmp_path / "b", 30).optimal_config))
    assert "gain in dev_loss that dev promised" in _write(folder)


def test_no_gain_is_told_plainly(tmp_path: Path) -> None:
    answer = _answers(make_run(tmp_path / "run", 30, decision="default_kept"))[_QUESTIONS[0]]
    assert answer.startswith("No gain that is sure: the default configuration is kept.")


def test_stopped_trials_are_told_by_rung_and_with_what_that_saved(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", 60)
    answer = _answers(folder)[_QUESTIONS[1]]
    assert "GPU-hours" in answer
    assert "Early stopping saved about" in answer
    page = _without_scripts(_write(folder))
    assert re.search(r"\d+ stopped early at rung 1", page)


@pytest.mark.parametrize(
    ("spent", "sentence", "cell"),
    [
        (None, "It is not known what 3 trials took, as none has reported its seconds: 3 completed.", "-"),
        (Spent(50.0, 0.0, 3), "3 trials took 50 s on the clock: 3 completed.", "50 s on the clock"),
        (Spent(50.0, 7200.0, 3), "3 trials took 2.00 GPU-hours: 3 completed.", "2.00 GPU-hours"),
    ],
)
def test_trials_that_do_not_report_their_seconds_are_timed_by_the_sweep(
    tmp_path: Path, spent: Spent | None, sentence: str, cell: str
) -> None:
    folder = _make_own(tmp_path / "run", [0.3, 0.2, 0.1])
    if spent:
        write_json(folder.spent, spent.to_dict())
    record = read_record(folder)
    section = answer_all(record)[1]
    assert section.answer == (sentence,)
    assert [row[-1] for row in section.parts[1].rows] == ["-"]
    assert tabulate_runs([record]).rows[0][2] == cell


@pytest.mark.parametrize(("facts", "rungs"), [({}, ()), ({"scheduler": "asha"}, (1, 3)), ({"scheduler": "none"}, ())])
def test_rungs_are_drawn_where_it_is_known_that_there_were_some(
    tmp_path: Path, facts: dict[str, str], rungs: tuple[int, ...]
) -> None:
    sweep = make_sweep("random", {"learning_rate": {"min": 0.1, "max": 1.0}, "epochs": {"value": 9}})
    folder = RunFolder(tmp_path / "run")
    folder.start(sweep, 0, None, facts)
    trial = Trial("t", 0, False, {"learning_rate": 0.5, "epochs": 9}, COMPLETED, reports=[{"epoch": 9, "wer": 0.1}])
    TrialTable(["wer"], [trial]).save(folder.trials)
    assert read_record(folder).rungs == {0: rungs}


def test_a_stopped_trial_is_no_result_of_its_configuration(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", 3, decision=None)
    table = TrialTable.load(folder.trials)
    reports = [{"epoch": 1, "wer": 0.001, "seconds": 1.0}]
    table.add(Trial("best", 3, False, {**DEFAULT, "epochs": 9}, STOPPED_EARLY, reports=reports))
    table.save(folder.trials)
    record = read_record(folder)
    assert 3 not in set(record.completed["number"])
    assert "trial 3" not in " ".join(_answers(folder)[each] for each in _QUESTIONS if each != _QUESTIONS[1])


def test_what_matters_is_found_with_its_spread(tmp_path: Path) -> None:
    parameters = {name: {"min": 0.0, "max": 1.0} for name in ("one", "two", "three")}
    sweep = make_sweep("random", parameters)
    folder = RunFolder(tmp_path / "run")
    folder.start(sweep, 0, None)
    rng = np.random.default_rng(0)
    trials = []
    for number in range(80):
        configuration = sweep.flatten(sweep.sample(rng))
        reports = [{"epoch": 1, "wer": 0.1 + configuration["two"] + 0.01 * rng.random(), "seconds": 1.0}]
        trials.append(Trial(f"t{number}", number, False, configuration, COMPLETED, reports=reports))
    TrialTable(["wer"], trials).save(folder.trials)
    section = answer_all(read_record(folder))[2]
    assert section.answer[0].startswith("two matters most")
    assert re.match(
        r"How much of the explained variance is lost without each: two \d\.\d+ \(±", section.parts[0].caption
    )


def test_settings_of_any_type_some_missing_can_be_ranked() -> None:
    rng = np.random.default_rng(0)
    kinds = rng.choice(["a", "b"], 60)
    frame = pd.DataFrame(
        {
            "config.kind": kinds,
            "config.flag": rng.choice([True, False], 60),
            "config.list": rng.choice(["[1, 2]", '{"a": 1}'], 60),
            "config.only_a": np.where(kinds == "a", rng.random(60), np.nan),
            "wer": np.where(kinds == "a", 0.1, 0.3) + 0.01 * rng.random(60),
        }
    )
    surrogate = Surrogate(frame, [name for name in frame if name != "wer"], "wer")
    assert surrogate.importance["parameter"].iloc[0] in ("kind", "only_a")
    assert surrogate.explained > 0.9
    assert list(surrogate.depend("config.kind")["value"]) == ["a", "b"]
    assert surrogate.depend("config.only_a")["expected"].between(0.05, 0.35).all()


def test_a_dependence_is_on_values_that_were_tried() -> None:
    rng = np.random.default_rng(0)
    sizes, names = rng.integers(1, 3000, 100), [f"v{i % 25:02}" for i in range(100)]
    frame = pd.DataFrame({"config.size": sizes, "config.name": names, "wer": 0.1 + 0.1 * rng.random(100)})
    surrogate = Surrogate(frame, ["config.size", "config.name"], "wer")
    drawn = surrogate.depend("config.size")["value"]
    assert len(drawn) > 10
    assert set(drawn) <= set(sizes.astype(float))
    assert list(surrogate.depend("config.name")["value"]) == names[:25]


def test_what_matters_is_not_told_from_few_trials(tmp_path: Path) -> None:
    answer = _answers(make_run(tmp_path / "run", 8))[_QUESTIONS[2]]
    assert f"too few to tell what matters from chance; it takes {ENOUGH_TRIALS}" in answer


def test_what_matters_is_not_told_of_equal_results(tmp_path: Path) -> None:
    answer = _answers(_make_own(tmp_path / "run", [0.5] * ENOUGH_TRIALS))[_QUESTIONS[2]]
    assert answer.startswith("12 completed trials came to the same result, so that nothing tells what matters.")


def test_what_matters_is_not_told_of_trials_that_were_completed_alike(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.start(make_sweep("random", {"learning_rate": {"min": 0.1, "max": 1.0}}), 0, None)
    trials = [
        Trial(f"t{i}", i, False, {"learning_rate": 0.5}, COMPLETED, reports=[{"epoch": 1, "wer": i / 100}])
        for i in range(ENOUGH_TRIALS)
    ]
    TrialTable(["wer"], [*trials, Trial("f", 99, False, {"learning_rate": 0.1}, FAILED)]).save(folder.trials)
    assert _answers(folder)[_QUESTIONS[2]].startswith("12 completed trials have the same settings, so that nothing")


@pytest.mark.parametrize(("sizes", "is_coloured"), [(5, True), (6, False)])
def test_colours_are_told_where_there_are_some(tmp_path: Path, sizes: int, *, is_coloured: bool) -> None:
    parameters = {"learning_rate": {"min": 0.1, "max": 1.0}, "batch_size": {"values": [2**i for i in range(6)]}}
    folder = RunFolder(tmp_path / "run")
    folder.start(make_sweep("random", parameters), 0, None)
    trials = [
        Trial(
            f"t{i}",
            i,
            False,
            {"learning_rate": 0.1 + 0.05 * i, "batch_size": 2 ** (i % sizes)},
            COMPLETED,
            reports=[{"epoch": 1, "wer": 0.3}],
        )
        for i in range(12)
    ]
    TrialTable(["wer"], trials).save(folder.trials)
    figure = answer_all(read_record(folder))[2].parts[-1]
    assert ("coloured by batch_size" in figure.caption) == is_coloured
    assert any("batch_size" in str(each.name) for each in figure.plot.data) == is_coloured


@pytest.mark.parametrize("method", ["random", "bayes", "grid"])
def test_random_search_is_expected_to_get_better_and_not_beyond_the_best(tmp_path: Path, method: str) -> None:
    parameters = {"learning_rate": {"values": [1e-6, 1e-5, 1e-4]}, "epochs": {"values": [3, 6, 9]}}
    record = read_record(make_run(tmp_path / "run", 40, sweep=make_sweep(method, parameters), decision=None))
    expected = expect_random_search(record)
    assert len(expected) == 40
    assert expected[0] == pytest.approx(record.default.last("wer"))
    assert (np.diff(expected) <= 1e-12).all()
    assert expected[-1] >= record.best.last("wer") - 1e-12


@pytest.mark.parametrize("choices", [[None, 0.5], [0.5, None], ["adam", 1], [1, "adam"], ["adam", "sgd"]])
def test_random_search_is_expected_to_find_choices_of_any_type(tmp_path: Path, choices: list[object]) -> None:
    good, bad = choices
    folder = RunFolder(tmp_path / "run")
    folder.start(make_sweep("bayes", {"choice": {"values": choices}}), 0, None)
    trials = [
        Trial(f"t{i}", i, False, {"choice": choice}, COMPLETED, reports=[{"epoch": 1, "wer": wer}])
        for i, (choice, wer) in enumerate([(good, 0.1), (bad, 0.5)])
    ]
    TrialTable(["wer"], trials).save(folder.trials)
    expected = expect_random_search(read_record(folder))
    assert expected == pytest.approx([0.3, 0.2], abs=0.04)  # four standard errors of 512 draws
    _write(folder)


def test_random_search_is_expected_of_a_default_of_another_type(tmp_path: Path) -> None:
    sweep = make_sweep("bayes", {"learning_rate": {"min": 0.1, "max": 1.0}, "clip": {"values": [0.5, 1.0]}})
    folder = RunFolder(tmp_path / "run")
    folder.start(sweep, 0, {"learning_rate": 0.3, "clip": None})
    rng = np.random.default_rng(0)
    chosen = [{"learning_rate": 0.3, "clip": None}, *(sweep.flatten(sweep.sample(rng)) for _ in range(5))]
    trials = [
        Trial(f"t{i}", i, i == 0, each, COMPLETED, reports=[{"epoch": 1, "wer": 0.5 - 0.01 * i}])
        for i, each in enumerate(chosen)
    ]
    TrialTable(["wer"], trials).save(folder.trials)
    assert np.isfinite(expect_random_search(read_record(folder))).all()
    _write(folder)


def test_words_that_differ_are_marked() -> None:
    said, heard = "take five ladders and leave now please", "take four ladders leave now there please"
    reference, hypothesis, told = align(said, heard)
    assert [(each.text, each.change) for each in reference if each.change != "same"] == [
        ("five", "substituted"),
        ("and", "missing"),
    ]
    assert [(each.text, each.change) for each in hypothesis if each.change != "same"] == [
        ("four", "substituted"),
        ("there", "extra"),
    ]
    assert told == "five → four; missing: and; extra: there"


def test_errors_are_told_by_type_kind_and_speaker(tmp_path: Path) -> None:
    page = _without_scripts(_write(make_run(tmp_path / "run", 30)))
    for title in ("Errors by type", "WER by speaker", "WER by the kind of error that production makes"):
        assert title in _headings(page, 3)
    assert "<mark>" in page


def _kinds(folder: RunFolder) -> tuple[tuple[str, ...], ...]:
    parts = answer_all(read_record(folder))[4].parts
    return next((each.rows for each in parts if getattr(each, "header", ("",))[0] == "kind of error"), ())


@pytest.mark.parametrize(("decision", "note"), [(None, "-"), ("winner", "the general one")])
def test_the_best_of_a_kind_of_error_has_a_result(tmp_path: Path, decision: str | None, note: str) -> None:
    folder = make_run(tmp_path / "run", 8, decision=decision)
    table = TrialTable.load(folder.trials)
    first = table.trials[0]
    first.reports[-1] = {**first.reports[-1], "wer_deletion": np.nan}
    second = next(each for each in table.trials[1:] if each.status == COMPLETED)
    second.reports[-1] = {**second.reports[-1], "wer_deletion": 0.2}
    TrialTable([*table.metrics, "wer_deletion"], table.trials).save(folder.trials)
    (row,) = (each for each in _kinds(folder) if each[0] == "deletion")
    assert (row[1], row[2], row[-1]) == (f"trial {second.number}", "0.2000", note)


def test_metrics_of_a_training_of_ones_own_are_no_kinds_of_errors(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.start(make_sweep("random", {"learning_rate": {"min": 0.1, "max": 1.0}}), 0, None)
    reports = [{"epoch": 1, "wer": 0.3, "wer_test": 0.2}]
    trials = [Trial("t", 0, False, {"learning_rate": 0.5}, COMPLETED, reports=reports)]
    TrialTable(["wer", "wer_test"], trials).save(folder.trials)
    assert _kinds(folder) == ()


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        ((9.0, 3.0), "Trial 0, which came to the same earlier in the sweep, is called the best elsewhere."),
        ((3.0, 9.0), None),
        ((None, 3.0), "Trial 0, which came to the same earlier in the sweep, is called the best elsewhere."),
    ],
)
def test_the_quicker_of_equals_is_told_beside_the_best(
    tmp_path: Path, seconds: tuple[float | None, ...], told: str | None
) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.start(make_sweep("random", {"learning_rate": {"min": 0.1, "max": 1.0}}), 0, None)
    trials = [
        Trial(f"t{i}", i, False, {"learning_rate": 0.5}, COMPLETED, reports=[{"epoch": 1, "wer": 0.1, "seconds": each}])
        for i, each in enumerate(seconds)
    ]
    TrialTable(["wer", "seconds"], trials).save(folder.trials)
    answer = answer_all(read_record(folder))[5].answer
    assert answer[1:-1] == ((told,) if told else ())


def test_a_run_of_before_knows_no_speakers(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", 30)
    heard = pq.read_table(folder.held_out)
    pq.write_table(heard.drop_columns(["speaker"]), folder.held_out)
    assert "The run does not know who speaks" in _answers(folder)[_QUESTIONS[4]]


def test_hostile_texts_stay_texts(tmp_path: Path) -> None:
    parameters = {"number": {"min": 0.1, "max": 1.0}, "choice": {"values": [HOSTILE, "<b>b</b>"]}}
    folder = make_run(tmp_path / "<b>run", 40, text=HOSTILE, sweep=make_sweep("random", parameters))
    page = _write(folder)
    own = page.replace(re.search(r"<script>/\*.*?plotly.*?</script>", page, re.DOTALL | re.IGNORECASE).group(), "")
    assert "<img" not in own
    assert "\u202e" not in own
    assert "\u2067" not in own
    assert "⟨U+202E⟩" in own
    assert own.count("<script") == own.count("</script>")
    for data in re.findall(r"<script type=\"application/json\"[^>]*>(.*?)</script>", own, re.DOTALL):
        figure = json.loads(data)
        if figure.get("data", [{}])[0].get("type") != "parcoords":  # there, Plotly reads no tags
            assert "<b>" not in json.dumps(figure)


def test_an_unfinished_run_says_how_it_goes_on(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", 20, decision=None)
    answer = _answers(folder)[_QUESTIONS[0]]
    assert "not known yet" in answer
    assert f"stt-tune resume {folder.path}" in answer
    assert _headings(_write(folder), 2) == _QUESTIONS


def test_a_run_that_goes_on_is_not_called_interrupted(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", 30, decision=None)  # trial 29 has no end
    assert "1 interrupted" in _answers(folder)[_QUESTIONS[1]]
    with folder.locked():
        page = _write(folder)
        (record,) = read_records([folder])
    assert "The run goes on, and this page says how it stood." in page
    assert "1 running" in page
    assert not re.search(r"interrupted|stt-tune resume", _without_scripts(page))
    assert np.array_equal(expect_random_search(record), expect_random_search(read_record(folder)))


def test_a_finished_run_is_finished_whoever_works_on_it(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", 8)
    with folder.locked():
        assert "goes on" not in _write(folder)


def test_a_run_without_any_trial_has_a_report(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", 0)
    folder.trials.unlink()
    assert _headings(_write(folder), 2) == _QUESTIONS


def test_a_run_in_which_everything_failed_has_a_report(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", 0)
    trials = [Trial(f"t{i}", i, i == 0, DEFAULT, FAILED, error="RuntimeError: no") for i in range(3)]
    TrialTable(["wer"], trials).save(folder.trials)
    page = _write(folder)
    assert "RuntimeError: no" in page
    assert "No trial was completed" in _answers(folder)[_QUESTIONS[0]]


def test_a_run_of_one_trial_has_a_report(tmp_path: Path) -> None:
    assert _headings(_write(make_run(tmp_path / "run", 1)), 2) == _QUESTIONS


@pytest.mark.parametrize("name", ["loss", "status", "config.x", "trial_id"])
def test_a_training_of_ones_own_has_its_metric_and_names(tmp_path: Path, name: str) -> None:
    parameters = {"epoch": {"values": [1, 2]}, "nested": {"parameters": {"a-b": {"min": 0.0, "max": 1.0}}}}
    folder = make_run(tmp_path / "run", 30, sweep=make_sweep("random", parameters, name), decision=None)
    shutil.rmtree(folder.utterances)
    run = folder.read_run()
    del run[SETTINGS]
    write_json(folder.run, run)
    page = _write(folder)
    assert _answers(folder)[_QUESTIONS[0]].startswith("Only as far as dev can tell")
    assert f"nested.a-b against {name}" in _headings(page, 3) or f"epoch against {name}" in _headings(page, 3)


def test_several_runs_stand_side_by_side(tmp_path: Path) -> None:
    first, second = make_run(tmp_path / "one", 20), make_run(tmp_path / "two", 30, seed=1, decision="default_kept")
    page = _write(first, second)
    assert _headings(page, 2) == ["How do the runs compare?", "one", "two"]
    assert [each for each in _headings(page, 3) if each in _QUESTIONS] == 2 * _QUESTIONS
    assert "All ran on the same data and were measured alike." in page
    assert "Best wer so far" in _headings(page, 3)
    assert re.search(r"one came to 0\.\d+ in 20 trials; two came to 0\.\d+ in 30 trials", page)
    assert not second.report.exists()


def test_runs_on_different_data_are_told_apart(tmp_path: Path) -> None:
    first, second = make_run(tmp_path / "a" / "run", 20), make_run(tmp_path / "b" / "run", 20)
    second.note(data_hash="e" * 64)
    page = _write(first, second)
    assert "error rates cannot be compared with each other" in page
    assert _headings(page, 2)[1:] == ["a/run", "b/run"]


def test_what_to_train_with_is_told_exactly(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.start(make_sweep("random", {"steps": {"min": 0, "max": 4000}, "rate": {"min": 0.1, "max": 1.0}}), 0, None)
    trials = [
        Trial(f"t{i}", i, False, {"steps": 1237 + i, "rate": 0.123456}, COMPLETED, reports=[{"epoch": 1, "wer": i}])
        for i in range(2)
    ]
    TrialTable(["wer"], trials).save(folder.trials)
    rows = _compare(folder, folder).parts[-1].rows
    assert rows == (("rate", "0.123456", "0.123456"), ("steps", "1237", "1237"))
    assert answer_all(read_record(folder))[-1].parts[-1].rows[0][-1] == "1237"


def test_runs_on_different_kinds_of_errors_are_told_apart(tmp_path: Path) -> None:
    first, second = make_run(tmp_path / "one", 8), make_run(tmp_path / "two", 8)
    second.note(settings={**second.read_run()[SETTINGS], "only_error_type": "deletion"})
    assert "error rates cannot be compared with each other" in " ".join(_compare(first, second).answer)


def test_of_trainings_of_ones_own_it_is_not_known_whether_they_compare(tmp_path: Path) -> None:
    first, second = _make_own(tmp_path / "one", [0.3]), _make_own(tmp_path / "two", [0.2])
    assert _compare(first, second).answer[0] == "The best wer on dev is that of two: 0.2000."
    assert "is not known" in _compare(first, second).answer[1]
    assert "is not known" in _compare(first, make_run(tmp_path / "three", 8)).answer[1]


@pytest.mark.parametrize(
    ("decisions", "title"),
    [
        (("winner", "winner"), "The best of each run on speech that it did not see, and what it had to beat"),
        ((None, None), "The best of each run on dev, which chose it"),
        (("winner", None), "The best of each run, and what it had to beat; on dev, which chose it, where no other"),
    ],
)
def test_the_picture_of_several_runs_says_what_they_were_measured_on(
    tmp_path: Path, decisions: tuple[str | None, ...], title: str
) -> None:
    runs = [make_run(tmp_path / str(i), 8, decision=decision) for i, decision in enumerate(decisions)]
    assert _compare(*runs).parts[0].title.startswith(title)


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="must be the folder of a run"):
        write_report([tmp_path])


def test_a_damaged_table_is_told(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", 3)
    folder.trials.write_text("no table")
    with pytest.raises(SettingsError, match="must be a trial table, and cannot be read"):
        write_report([folder.path])


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", 3)
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="must be a file that can be written"):
        write_report([folder.path], tmp_path / "file" / "report.html")


def test_a_place_that_is_a_folder_is_told_by_its_own_name(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", 3)
    with pytest.raises(SettingsError, match=rf"^{tmp_path}: must be a file that can be written \(Is a directory\)"):
        write_report([folder.path], tmp_path)


def test_a_report_that_fails_costs_the_sweep_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_run(tmp_path / "run", 3)
    folder.trials.write_text("no table")
    refresh_report(folder)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert "could not be written (SettingsError" in said[0]
    assert f"stt-tune report {folder.path}" in said[0]
    assert not folder.report.exists()


def test_the_verb_writes_where_it_is_told(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", 8)
    result = CliRunner().invoke(app, ["report", str(folder.path), "--out", str(tmp_path / "page.html"), "--json"])
    assert json.loads(result.stdout) == {"report": str(tmp_path / "page.html"), "pictures": []}
    assert (tmp_path / "page.html").exists()
    assert not folder.report.exists()


def _put(folder: RunFolder, url: str) -> None:
    system, root = fsspec.url_to_fs(url)
    system.pipe_file(f"{root}/{LEASE}", json.dumps({"driver": "another", "host": "elsewhere", "pid": 1}).encode())
    for path in folder.path.rglob("*"):
        if path.is_file():
            system.pipe_file(f"{root}/{path.relative_to(folder.path).as_posix()}", path.read_bytes())


def _list(url: str) -> dict[str, bytes]:
    system, root = fsspec.url_to_fs(url)
    return {each[len(root) + 1 :]: system.cat_file(each) for each in system.find(root)}


@pytest.mark.parametrize("decision", [None, "winner"])
def test_a_run_at_a_url_is_read_whoever_drives_it_and_gets_its_page(
    tmp_path: Path, decision: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(lease, "_LEFT_S", 0.1)
    run, url = make_run(tmp_path / "run", 8, decision=decision), f"memory://{tmp_path.name}/run"
    _put(run, url)
    before = _list(url)
    assert write_report([f"{url}/"]) == (f"{url}/report.html", [])
    after = _list(url)
    sent = after.pop("report.html").decode().replace(url, str(run.path))
    assert after == before
    assert not (tmp_path / "cache").exists()
    pages = [re.sub(r"\d\d:\d\d UTC", "", _without_scripts(each)) for each in (sent, _write(run))]
    assert pages[0] == pages[1]


def test_pictures_of_a_run_at_a_url_go_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def draw(_figures: object, folder: Path) -> list[Path]:
        write_json(folder / "progress.png", 1)
        return [folder / "progress.png"]

    monkeypatch.setattr(pictures, "save_pictures", draw)
    url = f"memory://{tmp_path.name}/run"
    _put(make_run(tmp_path / "run", 3), url)
    before = _list(url)
    assert write_report([url], png=True) == (f"{url}/report.html", [f"{url}/report/progress.png"])
    assert _list(url).keys() - before.keys() == {"report.html", "report/progress.png"}


def test_a_page_that_is_to_lie_elsewhere_is_not_sent(tmp_path: Path) -> None:
    url = f"memory://{tmp_path.name}/run"
    _put(make_run(tmp_path / "run", 3), url)
    before = _list(url)
    assert write_report([url], tmp_path / "page.html") == (str(tmp_path / "page.html"), [])
    assert (tmp_path / "page.html").exists()
    assert _list(url) == before


def test_a_page_goes_to_the_url_that_it_is_to_lie_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def draw(_figures: object, folder: Path) -> list[Path]:
        write_json(folder / "progress.png", 1)
        return [folder / "progress.png"]

    monkeypatch.setattr(pictures, "save_pictures", draw)
    monkeypatch.chdir(tmp_path)
    folder, url = make_run(tmp_path / "run", 3), f"memory://{tmp_path.name}/pages"
    result = CliRunner().invoke(app, ["report", str(folder.path), "--out", f"{url}/page.html", "--png", "--json"])
    told = {"report": f"{url}/page.html", "pictures": [f"{url}/page/progress.png"]}
    assert json.loads(result.stdout) == told
    assert _list(url).keys() == {"page.html", "page/progress.png"}
    assert not folder.report.exists()
    assert [each.name for each in tmp_path.iterdir()] == ["run"]
    assert write_report([folder.path], f"{url}/") == (f"{url}/report.html", [])
    assert _list(url).keys() == {"page.html", "page/progress.png", "report.html"}
    top = f"memory://{tmp_path.name}.html"
    assert write_report([folder.path], top) == (top, [])
    assert fsspec.filesystem("memory").exists(top)


def test_a_page_goes_to_a_path_that_is_written_as_a_url(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert write_report([make_run(tmp_path / "run", 3).path], f"file://{page}") == (str(page), [])
    assert page.exists()


def test_nothing_to_draw_with_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kaleido", None)
    with pytest.raises(SettingsError, match=r"pip install 'stt-tune\[png\]'"):
        write_report([make_run(tmp_path / "run", 3).path], png=True)


def test_no_browser_to_draw_with_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROWSER_PATH", str(tmp_path / "none"))
    with pytest.raises(SettingsError, match="needs a Chrome or Chromium that starts"):
        write_report([make_run(tmp_path / "run", 3).path], png=True)
