"""Replayed sweeps: the recorded runs, their model, the figures, the real path."""

from __future__ import annotations

import gzip
import importlib.util
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from stt_tune.bench.recorded import Surrogate, read_runs
from stt_tune.bench.replay import replay_sweep
from stt_tune.bench.search import SPACE, SearchBench, bench_search
from stt_tune.cli import app
from stt_tune.errors import SettingsError
from stt_tune.results.trials import TrialTable
from stt_tune.run.reporting import report
from stt_tune.sweep.config import SweepConfig
from stt_tune.sweep.samplers import build_sampler
from tests.run import synthetic

_DEFAULT = {
    "learning_rate": 1e-5,
    "batch_size": 16,
    "epochs": 5,
    "warmup_steps": 0,
    "weight_decay": 0.01,
    "dropout": 0.0,
    "gradient_accumulation_steps": 1,
}


def _measure(configuration: dict[str, Any]) -> list[float]:
    """A WER that is least at a rate of 1e-4, and falls with the epochs."""
    off = (math.log10(configuration["learning_rate"]) + 4) ** 2 + configuration["dropout"]
    epochs = configuration["epochs"]
    return [0.1 * (1 + off) * (1 + 2 / epoch - 1 / epochs) for epoch in range(1, epochs + 1)]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made-up runs, as the recorded ones are written."""
    return _record(tmp_path_factory.mktemp("recorded") / "runs.jsonl.gz", _measure)


def _record(path: Path, measure: Callable[[dict[str, Any]], list[float]]) -> Path:
    sweep = SweepConfig.from_dict({**SPACE, "method": "random"})
    sampler = build_sampler(sweep, 0)
    configurations = [_DEFAULT, *(sampler.propose(number, ()) for number in range(1, 60))]
    with gzip.open(path, "wt") as lines:
        for number, each in enumerate(configurations):
            curve = [{"epoch": i, "dev_wer": wer} for i, wer in enumerate(measure(each), start=1)]
            lines.write(json.dumps({"id": number, "config": each, "curve": curve}) + "\n")
    return path


def test_the_model_of_recorded_runs_predicts_as_its_reference(recorded_runs: Path) -> None:
    spec = importlib.util.spec_from_file_location("reference", recorded_runs / "surrogate.py")
    reference = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reference)
    path = recorded_runs / "digits_a.jsonl.gz"
    theirs, ours = reference.Surrogate(path), Surrogate(read_runs(path))
    assert reference.SWEEP["parameters"] == SPACE["parameters"]
    sweep = SweepConfig.from_dict({**SPACE, "method": "random"})
    sampler = build_sampler(sweep, 7)
    for each in (_DEFAULT, *(sampler.propose(number, ()) for number in range(40))):
        assert ours.curve(each) == pytest.approx(theirs.curve(each), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("scheduler", ["none", "asha"])
@pytest.mark.usefixtures("ray_session")
def test_a_replayed_sweep_has_the_trials_of_a_real_one(tmp_path: Path, scheduler: str) -> None:
    def train(config: dict[str, Any]) -> None:
        for epoch, wer in enumerate(_measure(config), start=1):
            report(epoch=epoch, wer=wer)

    for seed in range(2):
        real = synthetic.run(
            tmp_path / f"{seed}",
            train,
            trials=12,
            seed=seed,
            change=dict(SPACE),
            default=_DEFAULT,
            scheduler=scheduler,
        )
        sweep = SweepConfig.from_dict(SPACE)
        sampler = build_sampler(sweep, seed, _DEFAULT)
        replayed = replay_sweep(sweep, sampler, _measure, default=_DEFAULT, trials=12, scheduler=scheduler)
        assert _describe(replayed) == _describe(real)
        assert any(trial.status == "stopped_early" for trial in real.trials) == (scheduler == "asha")


def _describe(table: TrialTable) -> list[tuple[Any, ...]]:
    return [
        (each.number, each.is_default, each.configuration, each.values("wer"), each.status) for each in table.trials
    ]


def test_parallel_trials_begin_before_others_end() -> None:
    sweep = SweepConfig.from_dict(SPACE)
    table = replay_sweep(
        sweep, build_sampler(sweep, 0, _DEFAULT), _measure, default=_DEFAULT, trials=8, scheduler="none", parallel=4
    )
    assert [trial.number for trial in table.trials] == list(range(8))
    assert len({json.dumps(trial.configuration) for trial in table.trials}) == 8


def _bench(table: Path, *arguments: str) -> dict[str, Any]:
    result = CliRunner().invoke(app, ["bench", "search", "--table", str(table), "--json", *arguments])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_the_command_prints_one_object(table: Path) -> None:
    found = _bench(table, "--seeds", "3", "--trials", "12", "--scheduler", "asha", "--parallel", "2")
    assert set(found) == {"best_over_default", "epochs_fraction", "share_below_095", "runs"}
    assert set(found["best_over_default"]) == {"5", "10", "12"}
    assert len(found["runs"]) == 3
    spent, whole, last = [], [], []
    for run in found["runs"]:
        assert len(run["trials"]) == 12
        first = run["trials"][0]
        assert first["config"] == _DEFAULT
        assert first["epochs_run"] == 5
        spent.append(sum(trial["epochs_run"] for trial in run["trials"]))
        whole.append(sum(trial["config"]["epochs"] for trial in run["trials"]))
        last.append(min(trial["wer"] for trial in run["trials"]) / first["wer"])
    assert found["epochs_fraction"] == pytest.approx(sorted(s / w for s, w in zip(spent, whole, strict=True))[1])
    assert found["epochs_fraction"] < 0.9
    assert found["best_over_default"]["12"]["median"] == pytest.approx(sorted(last)[1])
    assert found["share_below_095"] == pytest.approx(sum(each < 0.95 for each in last) / 3)
    assert _bench(table, "--seeds", "3", "--trials", "12", "--scheduler", "asha", "--parallel", "2") == found


@pytest.mark.parametrize("method", ["random", "optuna-tpe", "optuna-gp"])
def test_other_ways_of_searching_begin_with_the_default_too(table: Path, method: str) -> None:
    found = _bench(table, "--seeds", "2", "--trials", "6", "--method", method)
    assert all(run["trials"][0]["config"] == _DEFAULT for run in found["runs"])
    assert found["best_over_default"]["6"]["q75"] <= 1.0


def test_a_retune_begins_with_the_best_of_earlier_runs_and_never_ends_above_it(table: Path, tmp_path: Path) -> None:
    shifted = _record(
        tmp_path / "shifted.jsonl.gz", lambda each: _measure({**each, "learning_rate": each["learning_rate"] / 3})
    )
    now, before = Surrogate(read_runs(shifted)), _bench(table, "--seeds", "3", "--trials", "20")
    found = _bench(shifted, "--earlier", str(table), "--seeds", "3", "--trials", "5")
    for earlier, run in zip(before["runs"], found["runs"], strict=True):
        start = run["trials"][0]
        assert start["config"] == min(earlier["trials"], key=lambda trial: trial["wer"])["config"]
        assert start["wer"] == pytest.approx(now.curve(start["config"])[-1])
        assert len(run["trials"]) == 5
        rates = {trial["config"]["learning_rate"] for trial in run["trials"]}
        assert max(rates) / min(rates) <= 4
    assert found["best_over_default"]["5"]["q75"] <= 1.0
    assert found["best_over_default"]["5"]["median"] < 1.0


def test_a_sweep_ends_once_no_trial_is_worth_it(table: Path) -> None:
    found = _bench(table, "--seeds", "3", "--trials", "30", "--min-improvement", "0.02")
    lengths = [len(run["trials"]) for run in found["runs"]]
    assert max(lengths) < 30
    for length, run in zip(lengths, found["runs"], strict=True):
        assert length > 3
        assert run["trials"][0]["config"] == _DEFAULT
    assert found["best_over_default"]["30"]["median"] < 1.0


def test_figures_can_be_read_as_text(table: Path) -> None:
    result = CliRunner().invoke(app, ["bench", "search", "--table", str(table), "--seeds", "1", "--trials", "3"])
    assert result.exit_code == 0
    assert "after 3 trials: best WER" in result.stdout
    assert "epochs spent: 100 % of full trainings" in result.stdout


_CURVE = [{"epoch": i, "dev_wer": 0.5} for i in range(1, 6)]


def _row(**change: Any) -> str:
    return json.dumps({"id": 0, "config": _DEFAULT, "curve": _CURVE, **change}) + "\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "must be recorded runs"),
        ("not json\n", "must be recorded runs"),
        ("[1]\n", ":1: must have id, config with the seven hyperparameters"),
        (_row(id=1, curve=_CURVE[:1]), "epochs 1 to 5"),
        (json.dumps({"config": _DEFAULT, "curve": _CURVE}), r":1: must have id, .* \(KeyError\('id'\)\)"),
        (_row(config={**_DEFAULT, "epochs": 5.0}), ":1: config.epochs must be a whole number, found 5.0"),
        (_row(config={**_DEFAULT, "weight_decay": math.inf}), ":1: config must hold finite numbers"),
        (_row(config={**_DEFAULT, "weight_decay": 10**400}), r":1: must have id, .* \(OverflowError"),
        (_row(id=1), "must hold the run of the default configuration, id 0"),
    ],
)
def test_a_table_that_is_none_is_refused(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "runs.jsonl"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SettingsError, match=f"--table {path}.*{message}"):
        bench_search(SearchBench(path))


def test_a_table_that_is_damaged_is_refused(table: Path, tmp_path: Path) -> None:
    path, whole = tmp_path / "runs.jsonl.gz", table.read_bytes()
    path.write_bytes(whole[:100] + bytes(100) + whole[200:])
    with pytest.raises(SettingsError, match=f"--table {path}: must be recorded runs"):
        read_runs(path)


def test_wrong_settings_are_told_all_at_once(table: Path) -> None:
    with pytest.raises(SettingsError) as told:
        SearchBench(table, method="magic", scheduler="soon", trials=0, min_improvement=0.01, earlier=table)
    for message in (
        "--method must be one of bayes",
        "--scheduler must be one of",
        "--trials must be at least 1",
        "--min-improvement must be given with --method bayes",
        "--earlier must be given with --method bayes",
    ):
        assert message in str(told.value)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "after", "least", "spent"),
    [
        ({}, 10, 0.82, 1.0),
        ({}, 20, 0.735, 1.0),
        ({"parallel": 4}, 20, 0.77, 1.0),
        ({"scheduler": "asha"}, 20, 0.75, 0.5),
    ],
)
def test_bayes_comes_near_the_best_of_the_recorded_runs(
    recorded_runs: Path, settings: dict[str, Any], after: int, least: float, spent: float
) -> None:
    found = bench_search(SearchBench(recorded_runs / "digits_a.jsonl.gz", **settings))
    assert found["best_over_default"][str(after)]["median"] <= least
    assert found["epochs_fraction"] <= spent
    assert found["share_below_095"] >= 0.9
