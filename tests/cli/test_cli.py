"""The command line as a user meets it: every mistake one clear message, the right exit code, no traceback."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest
import yaml

from stt_tune import cli
from stt_tune.errors import ModelError, SettingsError
from stt_tune.results.optimal_config import load_config, publish, read_optimal_config, save_config
from stt_tune.results.trials import TrialTable
from stt_tune.run.data import load_speech
from stt_tune.run.default_file import read_default
from stt_tune.run.folder import RunFolder
from stt_tune.run.settings import TuneSettings
from stt_tune.run.tune import TuneResult
from stt_tune.run.verdict import describe_verdict
from stt_tune.speech.decode import measure_untrained
from stt_tune.speech.rates import summarise
from stt_tune.storage import as_path
from tests.conftest import SMALL_SWEEP
from tests.wandb_files import read_runs

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Call `stt-tune` with arguments; gives exit code, stdout and stderr."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["stt-tune", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return int(stop.value.code or 0), out, err

    return call


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(SMALL_SWEEP)
    return path


def test_every_verb_has_help_with_an_example(run: Run) -> None:
    code, out, _ = run("--help")
    assert code == 0
    verbs = ("tune", "resume", "validate", "train", "demo", "confirm", "export", "retune", "drift", "prepare")
    for verb in (*verbs, "wandb-sync", "wandb-workspace", "refine", "status"):
        assert verb in out
        code, text, _ = run(verb, "--help")
        assert code == 0
        assert "Example: stt-tune" in text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("method: [", "must be YAML"),
        (
            "method: random\nparameters: {learning_rates: {value: 1e-5}}",
            "parameters.learning_rates: no such hyperparameter; did you mean learning_rate?",
        ),
        ("method: random\nparameters: {epochs: {min: 0, max: 3}}", "parameters.epochs: must be a whole number of at"),
        ("method: random\nparameters: {dropout: {values: [0.1, 1.5]}}", "parameters.dropout: must be a number from 0"),
        ("method: random\nparameters: {epochs: {value: 2}}\nmetric: {name: accuracy}", "metric.name: must be one of"),
        (
            "method: random\nparameters: {epochs: {value: 2}}\nmetric: {name: wer, goal: maximize}",
            "metric.goal: must be minimize for wer",
        ),
    ],
)
def test_a_sweep_that_cannot_be_trained_is_told_before_anything_loads(
    run: Run, tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    code, _, err = run("tune", path, "--data", "none.jsonl", "--out", tmp_path / "run")
    assert (code, f"{path}: {message}" in err) == (2, True), err
    assert "loading" not in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "no-such-model"], "'no-such-model' is none of these"),
        (["--trials", 0], "--trials must be at least 1, found 0"),
        (["--scheduler", "pbt"], "--scheduler must be one of asha, wandb-hyperband, none, found 'pbt'"),
        (["--wandb", "on"], "--wandb must be one of offline, online, disabled, found 'on'"),
        (
            ["--normaliser", "strict"],
            "--normaliser must be one of auto, none, basic, english, digits, multilingual, found 'strict'",
        ),
        (["--audio-context", "inf"], "--audio-context must be at least 1 second, found inf"),
        (["--audio-context", 2], "--audio-context must hold the longest clip"),
        (["--default", "none.json"], "--default none.json: must be a readable YAML or JSON file"),
        (["--data", "none.jsonl"], "none.jsonl: the manifest must be a readable file"),
        (["--nonsense"], "No such option"),
    ],
)
def test_a_wrong_option_is_a_usage_error(
    run: Run, tmp_path: Path, sweep: Path, corpus: Path, arguments: list[object], message: str
) -> None:
    code, _, err = run("tune", sweep, "--data", corpus, "--out", tmp_path / "run", *arguments)
    assert code == 2
    assert message in " ".join(err.split())
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "verb",
    [
        ("tune", "sweep.yaml", "--data", "d.jsonl"),
        ("retune", "--config", "c.json", "--data", "d.jsonl"),
        ("train", "--data", "d.jsonl"),
        ("prepare", "d.jsonl", "--out", "prepared"),
        ("demo", "--mock"),
        ("bench", "throughput"),
        ("bench", "packing"),
    ],
    ids=" ".join,
)
def test_a_seed_that_trainings_cannot_take_is_refused_by_every_verb(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    for seed in (-1, 2**32 - 1):
        code, out, err = run(*verb, "--seed", seed)
        assert (code, out, err) == (2, "", f"--seed must be from 0 to 4000000000, found {seed}.\n")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("verb", [("prepare",), ("train", "--data")], ids=" ".join)
def test_a_verb_that_writes_here_alone_takes_paths_as_urls_and_no_other_urls(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = run(*verb, "d.jsonl", "--out", "s3://bucket/out")
    assert (code, out) == (2, "")
    assert err == (
        "s3://bucket/out: must be a folder on this machine, found a URL. Name one with --out, and copy it there "
        "afterwards.\n"
    )
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "manifest.jsonl").write_text("")
    (tmp_path / "file").write_text("in the way")
    here = {"prepare": tmp_path / "out", "train": tmp_path / "file"}[verb[0]]
    code, out, err = run(*verb, "d.jsonl", "--out", f"file://{here}")
    assert (code, out) == (2, "")
    assert err.startswith(f"--out {here}: must ")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "out"]


@pytest.mark.parametrize("verb", ["tune", "retune", "train"])
def test_a_folder_of_a_model_is_named_so_that_it_is_found_from_any_folder(
    run: Run, tmp_path: Path, sweep: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    def tell(name: str, **_options: object) -> None:
        raise ModelError(f"asked for {name}")

    monkeypatch.setattr("stt_tune.run.data.load_model", tell)
    monkeypatch.chdir(tmp_path)
    for name in ("models/ours", "tiny.en"):
        (tmp_path / name).mkdir(parents=True)
    save_config("optimal_config.json", {"learning_rate": 1e-5})
    given = {"tune": [sweep], "retune": ["--config", "optimal_config.json"], "train": []}[verb]
    for name, found in (("models/ours", tmp_path / "models/ours"), ("models/other",) * 2, ("tiny.en",) * 2):
        _, _, err = run(verb, *given, "--data", corpus, "--model", name, "--out", tmp_path / "out")
        assert err.splitlines()[-1] == f"asked for {found}"


def test_a_default_that_cannot_be_trained_is_refused(run: Run, tmp_path: Path, sweep: Path, corpus: Path) -> None:
    default = tmp_path / "default.json"
    default.write_text(json.dumps({"hyperparameters": {"learning_rate": -1, "speed": 2}}))
    code, _, err = run("tune", sweep, "--data", corpus, "--default", default, "--out", tmp_path / "run")
    assert code == 2
    assert f"{default}: learning_rate: must be a number above 0, found -1" in err
    assert f"{default}: speed: no such hyperparameter" in err


def test_a_default_that_is_no_yaml_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "default.yaml"
    for text in ("epochs: 0x_", "epochs: " + "[" * 2000, "{epochs: 1, epochs: 2}"):
        path.write_text(text)
        with pytest.raises(SettingsError, match=f"--default {path}: must be YAML, and cannot be read: "):
            read_default(path)


def test_an_optimal_config_can_be_the_default(tmp_path: Path) -> None:
    path = tmp_path / "optimal_config.json"
    save_config(path, {"learning_rate": 1e-5, "epochs": 3})
    assert "1e-05" in path.read_text()
    assert read_default(path) == {"learning_rate": 1e-5, "epochs": 3}
    path.write_text("{learning_rate: 3e-5}")
    assert read_default(path) == {"learning_rate": 3e-5}


def test_bad_rows_stop_the_run_with_their_lines(run: Run, tmp_path: Path, sweep: Path, corpus: Path) -> None:
    rows = [json.loads(line) for line in corpus.read_text().splitlines()]
    for row in rows:
        row["audio"] = str(corpus.parent / row["audio"])
    rows[1]["text"] = ""
    rows[3]["audio"] = "gone.flac"
    manifest = tmp_path / "bad.jsonl"
    manifest.write_text("\n".join(map(json.dumps, rows)))
    code, _, err = run("tune", sweep, "--data", manifest, "--out", tmp_path / "run")
    assert code == 2
    assert f"{manifest}:2: text is empty" in err
    assert f"{manifest}:4: audio gone.flac is no file" in err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("verb", "advice"),
    [("tune", "Check the path; of a run whose data have moved, --data"), ("prepare", "Check the path.\n")],
)
def test_data_that_are_not_there_are_told_at_once(
    run: Run, tmp_path: Path, sweep: Path, verb: str, advice: str
) -> None:
    gone = tmp_path / "gone.jsonl"
    given = (sweep, "--data", gone) if verb == "tune" else (gone,)
    code, out, err = run(verb, *given, "--out", tmp_path / "run")
    assert (code, out) == (2, "")
    assert err.startswith(f"{gone}: the manifest must be a readable file, found none there. {advice}")
    assert err.count("\n") == 1


def test_a_run_that_goes_on_is_not_confirmed(run: Run, tmp_path: Path, small_run: TuneResult) -> None:
    folder = RunFolder(tmp_path)
    for path in (small_run.folder.run, small_run.folder.sweep):
        shutil.copy(path, tmp_path)
    with folder.locked():
        code, _, err = run("confirm", tmp_path)
    assert (code, err.splitlines()[-1]) == (2, "It is running: wait for its end.")
    code, _, err = run("confirm", tmp_path)
    assert (code, err.splitlines()[-1]) == (2, f"Continue with: stt-tune resume {tmp_path}")


def test_a_manifest_without_dev_utterances_is_refused(run: Run, tmp_path: Path, sweep: Path, corpus: Path) -> None:
    rows = [json.loads(line) for line in corpus.read_text().splitlines()]
    manifest = corpus.parent / "no-dev.jsonl"
    manifest.write_text("\n".join(json.dumps(row) for row in rows if row["split"] != "dev"))
    code, _, err = run("tune", sweep, "--data", manifest, "--out", tmp_path / "run")
    assert code == 2
    assert "found 16 train, 0 dev, 8 test (split by manifest)" in err


def test_a_folder_that_holds_a_run_is_refused_and_says_how_far_it_is(
    run: Run, sweep: Path, corpus: Path, small_run: TuneResult
) -> None:
    path = small_run.folder.path
    code, _, err = run("tune", sweep, "--data", corpus, "--out", path)
    assert code == 2
    assert f"It is finished: see {path / 'optimal_config.json'}" in err
    code, _, err = run("resume", path)
    assert (code, "must be an interrupted run, and is finished" in err) == (2, True)
    code, _, err = run("resume", sweep.parent)
    assert (code, "must be the folder of a run, with run.json and sweep.yaml, and is none" in err) == (2, True)


def test_a_sweep_in_which_nothing_works_fails_and_says_why(
    run: Run, ray_session: None, tmp_path: Path, corpus: Path, small_model: str
) -> None:
    sweep = tmp_path / "hopeless.yaml"
    sweep.write_text("method: random\nparameters: {learning_rate: {value: 1.0e+30}}\n")
    default = tmp_path / "default.yaml"
    default.write_text("{learning_rate: 1.0e+30, epochs: 2, batch_size: 4}")
    out = tmp_path / "run"
    code, _, err = run(
        "tune", sweep, "--data", corpus, "--default", default, "--trials", 2, "--out", out, "--audio-context", 4,
        "--wandb", "disabled", "--model", small_model,
    )  # fmt: skip
    assert code == 1
    assert "no trial was completed (2 diverged), so there is nothing to choose from" in err
    assert (out / "trials.parquet").exists()


def test_bad_rows_can_be_set_aside_and_the_rest_trains(
    run: Run, ray_session: None, tmp_path: Path, corpus: Path, small_model: str
) -> None:
    sweep = tmp_path / "one.yaml"
    sweep.write_text("method: random\nparameters: {epochs: {value: 1}}\n")
    default = tmp_path / "default.yaml"
    default.write_text("{epochs: 1, batch_size: 8}")
    manifest = corpus.parent / "with-bad.jsonl"
    manifest.write_text(corpus.read_text() + "{broken\n")
    code, out, err = run(
        "tune", sweep, "--data", manifest, "--skip-bad", "--default", default, "--trials", 1, "--audio-context", 4,
        "--out", tmp_path / "run", "--wandb", "disabled", "--model", small_model, "--json",
    )  # fmt: skip
    assert code == 0, err
    assert "1 bad rows were set aside" in err
    (rejected,) = (tmp_path / "run" / "rejected.jsonl").read_text().splitlines()
    assert json.loads(rejected)["line"] == 33
    document = json.loads(out)
    assert document["decision"] == "default_kept"
    assert document["held_out"]["relative_gain"] == 0


def test_validate_shows_the_space_of_every_file_and_all_problems(run: Run, tmp_path: Path, sweep: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("method: grid\nparameters: {epochs: {min: 1.0, max: 3.0}, batch_size: {values: []}}\n")
    own = tmp_path / "own.yaml"
    own.write_text(
        "method: bayes\nprogram: train.py\nmetric: {name: val_loss, goal: minimize, target: 0.1}\n"
        "parameters: {net: {parameters: {layers: {values: [1, 2], probabilities: [0.25, 0.75]}}}}\n"
    )
    code, out, err = run("validate", sweep, bad, own)
    assert code == 2
    assert "random, 20 trials, minimize wer, weak trials stopped from epoch 1 on" in out
    assert "log-uniform 1e-06 to 0.001" in out
    assert f"{bad}: cannot be run" in out
    assert f"{bad}: parameters.batch_size.values: must be a list of at least one value" in err
    assert f"{bad}: parameters.epochs: a grid needs values that can be counted" in err
    assert f"{bad}: parameters.epochs: must be a whole number of at least 1, found 1.7438" in err
    assert f"{own}: parameters.net.layers: no such hyperparameter" in err
    assert f"{own}: metric.name: must be one of wer, cer" in err
    code, out, err = run("validate", "--own-training", own)
    assert (code, err) == (0, "")
    assert "choice of 1 (25 %), 2 (75 %)" in out
    assert "bayes, 20 trials, minimize val_loss until one reaches 0.1; without effect here: program" in out
    code, out, _ = run("validate", "--json", sweep, bad)
    first, second = json.loads(out)
    assert code == 2
    assert (first["valid"], first["trials"], first["parameters"]["batch_size"]) == (True, 20, "choice of 4, 8")
    assert not second["valid"]
    assert len(second["problems"]) == 3


def test_whole_numbers_are_not_drawn_from_continuous_distributions(run: Run, tmp_path: Path) -> None:
    sweep = tmp_path / "sweep.yaml"
    sweep.write_text("method: random\nparameters: {epochs: {min: 1.0, max: 4.0}, batch_size: {min: 4, max: 8}}\n")
    code, _, err = run("validate", sweep)
    assert code == 2
    assert "parameters.epochs: must be a whole number of at least 1, found 2.1157" in err
    assert "batch_size" not in err


@pytest.mark.parametrize(
    "verb",
    [
        ("tune", "sweep.yaml", "--data", "d.jsonl"),
        ("refine", "run"),
        ("resume", "run"),
        ("retune", "--config", "c.json", "--data", "d.jsonl"),
        ("demo",),
        ("demo", "--mock"),
    ],
    ids=" ".join,
)
def test_a_result_is_printed_in_one_way(run: Run, verb: tuple[str, ...]) -> None:
    code, out, err = run(*verb, "--json", "--json-lines")
    assert (code, out) == (2, "")
    assert err.startswith("--json, --json-lines: must not be given together")


_GOING_ON = [("refine",), ("confirm",), ("export", "--per-error-type"), ("resume", "--trials", 9)]


@pytest.mark.parametrize("verb", _GOING_ON)
def test_what_goes_on_with_a_run_does_so_with_data_where_they_are_now(
    verb: tuple[object, ...], run: Run, small_run: TuneResult, tmp_path: Path
) -> None:
    name, *options = verb
    code, out, err = run(name, small_run.folder.path, *options, "--data", tmp_path / "moved.jsonl")
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].startswith(f"{tmp_path / 'moved.jsonl'}: the manifest must be a readable file, found")


@pytest.mark.parametrize("verb", _GOING_ON)
def test_what_goes_on_with_a_run_does_so_on_the_cluster_that_is_named(
    verb: tuple[object, ...], run: Run, small_run: TuneResult
) -> None:
    name, *options = verb
    code, out, err = run(name, small_run.folder.path, *options, "--address", "ray://127.0.0.1:1")
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].startswith("address ray://127.0.0.1:1: must be auto or HOST:PORT, as a sweep is driven")


def test_an_export_that_trains_nothing_takes_neither_data_nor_cluster(run: Run, small_run: TuneResult) -> None:
    for option in ("--data", "--address"):
        code, out, err = run("export", small_run.folder.path, option, "somewhere")
        assert (code, out) == (2, "")
        assert err.splitlines()[-1].startswith("--data, --address, --insecure-cluster: must be given with --per-error-")


def test_a_finished_run_that_is_given_another_cluster_alone_is_finished(run: Run, small_run: TuneResult) -> None:
    code, _, err = run("resume", small_run.folder.path, "--address", "local", "--insecure-cluster")
    assert (code, "must be an interrupted run, and is finished: see" in err) == (2, True)


def test_the_status_of_a_run_is_told_from_its_folder(run: Run, tmp_path: Path, small_run: TuneResult) -> None:
    code, out, err = run("status", small_run.folder.path)
    assert (code, err) == (0, "")
    assert "State:   finished" in out
    assert f"Next:    It is finished: see {small_run.folder.optimal_config}" in out
    assert f"Verdict: {describe_verdict(small_run.document)[0]}" in out
    assert " s spent" in out
    code, out, _ = run("status", small_run.folder.path, "--json")
    document = json.loads(out)
    assert (code, document["state"], document["done"]) == (0, "finished", len(small_run.table.trials))
    assert document["best"]["value"] == small_run.winner.last("wer")
    code, out, err = run("status", tmp_path)
    assert (code, out) == (2, "")
    assert err == f"{tmp_path}: must be the folder of a run, with run.json and sweep.yaml, and is none.\n"


def test_train_refuses_what_cannot_be_trained(run: Run, tmp_path: Path, corpus: Path) -> None:
    code, _, err = run("train", "--data", corpus, "--learning_rate=-1", "--speed=3", "--out", tmp_path / "out")
    assert code == 2
    assert "--learning_rate: must be a number above 0, found -1" in err
    assert "--speed: no such hyperparameter" in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", ["--config", "--default"])
def test_train_refuses_what_cannot_be_trained_together(run: Run, tmp_path: Path, option: str) -> None:
    save_config(tmp_path / "given.json", {"base_weight": 0.3})
    given = ("--data", "none.jsonl", option, tmp_path / "given.json", "--out", tmp_path / "out")
    code, _, err = run("train", *given, "--lora_rank=8")
    assert (code, err) == (
        2,
        "--base_weight: adapters are not moved back; found lora_rank, too. Lower lora_alpha instead.\n",
    )
    assert not (tmp_path / "out").exists()


def test_train_trains_once_and_gives_its_last_report(run: Run, tmp_path: Path, corpus: Path) -> None:
    code, out, err = run(
        "train", "--data", corpus, "--epochs=1", "--batch_size", 8, "--audio-context", 4, "--out", tmp_path, "--json"
    )
    assert code == 0, err
    report = json.loads(out)
    assert report["epoch"] == 1
    assert report["wer"] >= 0
    (logged,) = read_runs(tmp_path / "wandb").values()
    assert [row["wer"] for row in logged.history] == [report["wer"]]
    assert logged.config["batch_size"] == 8


def test_the_mock_demo_shows_a_sweep_in_seconds(run: Run, ray_session: None, tmp_path: Path) -> None:
    code, out, _ = run("demo", "--mock", "--trials", 6, "--out", tmp_path / "mock")
    assert code == 0
    assert "0 default" in out
    assert "This training was made up; the sweep was real." in out
    table = TrialTable.load(tmp_path / "mock" / "trials.parquet")
    assert len(table.ended()) == 6
    assert set(read_runs(tmp_path / "mock" / "wandb")) == {trial.trial_id for trial in table.trials}


def test_the_demos_take_urls(run: Run, ray_session: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    for name in (f"memory://{tmp_path.name}/mock", f"file://{tmp_path}/here"):
        code, out, err = run("demo", "--mock", "--trials", 1, "--out", name, "--json")
        assert code == 0, err
        assert json.loads(out)["run"] == as_path(name)
    assert len(TrialTable.load(tmp_path / "here" / "trials.parquet").ended()) == 1
    assert fsspec.filesystem("memory").exists(f"/{tmp_path.name}/mock/trials.parquet")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["cache", "here"]
    told: list[str] = []
    monkeypatch.setattr("stt_tune.demo.build_demo_settings", lambda **_options: None)
    monkeypatch.setattr("stt_tune.cli.sweeps._tune", lambda _sweep, _settings, out, _output: told.append(out))
    run("demo", "--out", "s3://bucket/demo")
    assert told == ["s3://bucket/demo"]


def test_a_sweep_tells_what_happens_line_by_line(run: Run, ray_session: None, tmp_path: Path) -> None:
    code, out, err = run("demo", "--mock", "--trials", 3, "--out", tmp_path / "mock", "--json-lines")
    assert code == 0
    assert "3 of 3 trials done" in err
    events = [json.loads(line, parse_constant=pytest.fail) for line in out.splitlines()]
    assert {each["run"] for each in events} == {str(tmp_path / "mock")}
    names = [each["event"] for each in events]
    assert (names[0], names[-2:]) == ("sweep_started", ["sweep_ended", "result"])
    table = TrialTable.load(tmp_path / "mock" / "trials.parquet")
    for trial in table.trials:
        own = [each for each in events if each.get("trial_id") == trial.trial_id]
        assert [each["event"] for each in own] == ["trial_started", *["report"] * len(trial.reports), "trial_ended"]
        assert [{**each["metrics"], "epoch": each["epoch"]} for each in own[1:-1]] == trial.reports
        assert own[-1]["status"] == trial.status
    best = table.best("wer", "min")
    assert best is not None
    assert events[-2]["best"]["trial"] == events[-1]["result"]["number"] == best.number
    assert events[-2]["seconds"] > 0
    code, out, _ = run("demo", "--mock", "--trials", 2, "--out", tmp_path / "json", "--json")
    assert code == 0
    assert json.loads(out)["metric"] == "wer"


def test_a_config_is_trained_with_and_the_model_is_kept(run: Run, tmp_path: Path, corpus: Path) -> None:
    config = tmp_path / "optimal_config.json"
    own = {"hyperparameters": {"learning_rate": 1e-5, "batch_size": 8, "epochs": 1, "weight_decay": 0.5}}
    general = {**own["hyperparameters"], "weight_decay": 0.1}
    publish({"hyperparameters": general, "by_error_type": {"deletion": own}, "model": "tiny.en"}, config)
    code, out, err = run(
        "train", "--config", config, "--data", corpus, "--error-type", "deletion", "--batch_size=4",
        "--audio-context", 4, "--out", tmp_path / "out", "--json",
    )  # fmt: skip
    assert code == 0, err
    report = json.loads(out)
    low, high = report["held_out_wer_interval"]
    assert 0 <= low <= report["held_out_wer"] <= high
    (logged,) = read_runs(tmp_path / "out" / "wandb").values()
    assert {name: logged.config[name] for name in ("weight_decay", "batch_size", "epochs")} == {
        "weight_decay": 0.5, "batch_size": 4, "epochs": 1,
    }  # fmt: skip
    # the saved model, as it is, gives what was measured
    settings = TuneSettings(data=str(corpus), model=str(tmp_path / "out" / "model"), audio_context_s=4)
    task = load_speech(settings).task
    heard = measure_untrained(task.model, task.data.test, task.settings.normaliser)
    assert summarise(heard).wer == pytest.approx(report["held_out_wer"])


@pytest.mark.parametrize(
    ("verb", "content", "message"),
    [
        ("train", None, "must be an optimal_config.json, and there is none"),
        ("retune", None, "must be an optimal_config.json, and there is none"),
        ("drift", None, "must be an optimal_config.json, and there is none"),
        ("train", {"learning_rate": 1e-5, "speed": 2}, "speed: no such hyperparameter"),
        ("retune", {"learning_rate": 1e-5, "speed": 2}, "speed: no such hyperparameter"),
        ("retune", {"learning_rate": 1e-5}, "model: must say what is fine-tuned, and is not there"),
        ("drift", {"learning_rate": 1e-5}, "data_profile: must say what the data were like, and is not there"),
    ],
)
def test_a_config_that_cannot_be_used_is_told(
    run: Run, tmp_path: Path, corpus: Path, verb: str, content: dict[str, object] | None, message: str
) -> None:
    config = tmp_path / "optimal_config.json"
    if content:
        save_config(config, content)
    out = () if verb == "drift" else ("--out", tmp_path / "run")
    code, _, err = run(verb, "--config", config, "--data", corpus, *out)
    assert code == 2
    assert f"{config}: " in err
    assert message in err
    assert not (tmp_path / "run").exists()


def test_wandb_sync_says_where_nothing_is_left_to_upload(run: Run, tmp_path: Path) -> None:
    code, _, err = run("wandb-sync", tmp_path)
    assert (code, f"{tmp_path}: must hold W&B runs" in err) == (2, True)
    for verb in ("wandb-sync", "wandb-workspace"):
        code, _, err = run(verb, "s3://bucket/run")
        assert (code, err) == (
            2,
            "s3://bucket/run: must be a folder on this machine, found a URL. Copy it here and name the copy.\n",
        )
    folder = tmp_path / "wandb" / "offline-run-20260101_000000-abc"
    folder.mkdir(parents=True)
    for name in ("run-abc.wandb", "run-abc.wandb.synced"):
        (folder / name).write_text("some of W&B's records")
    code, out, _ = run("wandb-sync", tmp_path)
    assert (code, out) == (0, "Nothing is left to upload: W&B has all 1 runs.\n")
    code, out, _ = run("wandb-sync", tmp_path, "--json")
    assert (code, json.loads(out)) == (0, {"uploaded": [], "total": 1, "tagged": None, "attached": False})


def test_confirm_and_export_need_a_finished_run(run: Run, tmp_path: Path) -> None:
    for verb in ("confirm", "export"):
        code, _, err = run(verb, tmp_path)
        assert code == 2
        assert "must be the folder of a run" in err


def test_the_re_tune_that_drift_prints_has_what_it_needs(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_config("optimal_config.json", {"replay_ratio": 0.1})
    given = ("drift", "--config", "optimal_config.json", "--data", "new.jsonl")
    code, out, err = run(*given, "--cron")
    assert (code, out) == (2, "")
    assert err.startswith(f"--replay: must be given with --cron, as the replay_ratio of {tmp_path}/optimal_config.json")
    beside = ("--replay", "heard.jsonl", "--guard", "right.jsonl")
    code, out, err = run(*given, *beside, "--cron")
    assert (code, err) == (0, "")
    first, *retunes = out.split(" retune ")
    assert "--replay" not in first  # that only looks
    line = (
        f"--config {tmp_path}/optimal_config.json --data {tmp_path}/new.jsonl --replay {tmp_path}/heard.jsonl "
        f"--guard {tmp_path}/right.jsonl --record; else"
    )
    assert [each.startswith(line) for each in retunes] == [True, True]
    code, out, err = run(*given, *beside)
    assert (code, out) == (2, "")
    assert err.startswith("--replay, --guard: must be given with --cron, as drift itself looks at --data alone.")


def test_what_drift_prints_for_crontab_is_no_json(run: Run, tmp_path: Path) -> None:
    save_config(tmp_path / "c.json", {"learning_rate": 1e-5})
    code, out, err = run("drift", "--config", tmp_path / "c.json", "--data", "d.jsonl", "--cron", "--json")
    assert (code, out) == (2, "")
    assert err.startswith("--cron, --json: must not be given together, and are. What --cron prints is for crontab")


@pytest.mark.slow
def test_a_config_is_exported_confirmed_watched_and_re_tuned(
    run: Run, ray_session: None, tmp_path: Path, corpus: Path, small_run: TuneResult
) -> None:
    """From a finished run to production and back, by the verbs that the README names."""
    config = tmp_path / "shared" / "optimal_config.json"
    code, out, _ = run("export", small_run.folder.path, "--out", config)
    assert (code, str(config) in out) == (0, True)
    assert load_config(config) == small_run.document["hyperparameters"]

    code, out, _ = run("drift", "--config", config, "--data", corpus, "--exit-code")
    assert code == 0
    assert "No re-tune is due." in out
    short = corpus.parent / "short.jsonl"
    rows = [json.loads(line) for line in corpus.read_text().splitlines()]
    short.write_text("\n".join(json.dumps({**row, "text": "goodbye"}) for row in rows))
    code, out, _ = run("drift", "--config", config, "--data", short, "--exit-code", "--json")
    assert code == 3
    report = json.loads(out)
    assert report["is_due"]
    assert [each["name"] for each in report["shifts"] if each["is_large"]] == ["vocabulary"]
    code, out, _ = run(
        "drift", "--config", config, "--data", corpus, "--cron", "--columns", "text=it's 5%", "--skip-bad"
    )
    crontab, manifest = out.split("# kubectl apply -f")
    assert f"retune --config {config} --data {corpus} --columns" in crontab
    assert r"5\%" in crontab
    job = yaml.safe_load(manifest.partition("\n")[2])
    assert job["kind"] == "CronJob"
    (script,) = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["args"]
    words = shlex.split(script.partition(";")[0])
    assert words[:2] == ["stt-tune", "drift"]
    assert words[words.index("--columns") + 1] == "text=it's 5%"
    assert words[-1] == "--exit-code"

    before = config.read_bytes()
    code, out, err = run(
        "retune", "--config", config, "--data", corpus, "--trials", 2, "--audio-context", 4, "--wandb", "disabled",
        "--out", tmp_path / "retune", "--json",
    )  # fmt: skip
    assert code == 0, err
    answer = json.loads(out)
    assert (config.read_bytes() == before) is not answer["replaced"]
    assert answer["reason"]
    assert answer["run"] == str(tmp_path / "retune")
    document = read_optimal_config(tmp_path / "retune" / "optimal_config.json")
    first, *others = document["held_out"]["systems"]
    assert (first["role"], first["hyperparameters"]) == ("incumbent", small_run.document["hyperparameters"])
    assert document["held_out"]["seeds"] == [1, 2, 3]
    assert {each["role"] for each in others} <= {"candidate"}
    # once more, the data being the same: the sweep is finished, and its folder says so
    code, _, err = run("retune", "--config", config, "--data", corpus, "--out", tmp_path / "retune")
    assert code == 2
    assert "It is finished: see" in err
    # and resuming it does its last step once more, should the file not have been reached
    code, out, err = run("resume", tmp_path / "retune", "--json")
    assert code == 0, err
    assert json.loads(out)["replaced"] == answer["replaced"]
