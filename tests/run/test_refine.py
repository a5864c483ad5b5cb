"""Refining a finished run: real trainings on a little real speech."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from stt_tune.errors import SettingsError
from stt_tune.results.optimal_config import publish, save_config, update_config
from stt_tune.results.trials import Trial, TrialTable
from stt_tune.run.budget import Budget
from stt_tune.run.folder import RunFolder
from stt_tune.run.refine import describe_narrowing, describe_outside, refine
from stt_tune.run.settings import TuneSettings, read_winners
from stt_tune.run.tracking import build_identity
from stt_tune.run.trials import TrialPlan, _plan_trials
from stt_tune.run.tune import check_fits
from stt_tune.sweep.config import SweepConfig
from stt_tune.sweep.narrow import find_outside, narrow_sweep
from tests.run import synthetic
from tests.run.trials import make_trial


@pytest.mark.slow
def test_a_finished_run_is_refined_with_all_that_it_has_learnt(
    own_run: RunFolder, corpus: Path, ray_session: None, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shared = tmp_path / "shared.json"  # as if it had been a re-tune
    own_run.note(settings={**own_run.read_run()["settings"], "data": "moved.jsonl", "retunes": str(shared)})
    before = TrialTable.load(own_run.trials)
    confirmed = before.trials[1].configuration
    update_config(own_run.optimal_config, lambda old: {**old, "decision": "winner", "hyperparameters": confirmed})
    result = refine(own_run.path, tmp_path / "refined", trials=1, data=str(corpus))
    told = capfd.readouterr().err
    assert "the space around trials" in told
    assert told.index("the space around trials") < told.index("trial 4 epoch 1")
    after = TrialTable.load(result.folder.trials)
    assert [trial.reports for trial in after.trials[:4]] == [trial.reports for trial in before.trials]
    assert [trial.number for trial in after.trials] == [0, 1, 2, 3, 4]
    sweep = result.folder.read_sweep()
    assert (sweep.name, sweep.method) == ("small-refined", "bayes")
    assert sweep.frame is not None
    assert sweep.frame.parameters == own_run.read_sweep().parameters
    low, high = sweep.parameters["learning_rate"].extremes()
    assert 1e-6 <= low <= after.trials[4].configuration["learning_rate"] <= high <= 1e-3
    assert result.document["held_out"]["compared_with"] == "incumbent"
    assert result.document["decision"] in ("winner", "incumbent_kept")
    roles = [each["role"] for each in result.document["held_out"]["systems"]]
    is_new = not result.winner.is_default and result.winner.configuration != confirmed
    assert roles.count("candidate") == is_new  # what there is already is not trained as a candidate, too
    assert confirmed.items() <= result.folder.read_run()["settings"]["incumbent"].items()
    assert result.document["trials"] == 5
    settings = json.loads(result.folder.run.read_text())["settings"]
    assert (settings["trials"], settings["data"], settings["retunes"]) == (5, str(corpus), None)
    assert not shared.exists()


def test_where_the_best_trial_lies_outside_of_the_space_it_is_said() -> None:
    sweep = SweepConfig.from_dict(
        {
            "method": "random",
            "metric": {"name": "wer"},
            "parameters": {"learning_rate": {"min": 1e-6, "max": 1e-4}, "batch_size": {"values": [4, 8]}},
        }
    )
    default = {"learning_rate": 1e-5, "batch_size": 8, "label_smoothing": 0.0}
    inside, outside = (
        Trial("a", i, False, {**default, **change})
        for i, change in enumerate(({}, {"learning_rate": 1e-3, "batch_size": 2, "label_smoothing": 0.1}))
    )
    assert describe_outside(sweep, inside, default) == []
    (told,) = describe_outside(sweep, outside, default)
    assert "trial 1, the best one, lies outside of it: learning_rate=0.001, batch_size=2, label_smoothing=0.1." in told
    assert "--expand lets ranges and choices go there" in told
    wider = narrow_sweep(sweep, [outside.configuration], expand=True)
    assert find_outside(wider, outside.configuration) == []
    changed = describe_narrowing(sweep, wider, [outside])
    assert "  batch_size: choice of 2, 4 (before: choice of 4, 8)" in changed
    assert all("(before:" in line for line in changed[1:])
    assert describe_narrowing(sweep, narrow_sweep(sweep, []), [])[:2] == [
        "the space, not narrowed, as fewer than 3 trials were completed:",
        "  learning_rate: uniform 1e-06 to 0.0001",
    ]


def test_what_cannot_be_refined_is_refused(own_run: RunFolder, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="--trials must be at least 1, found 0"):
        refine(own_run.path, tmp_path / "refined", trials=0)
    with pytest.raises(SettingsError, match="must not hold a run yet"):
        refine(own_run.path, own_run.path, trials=1)
    TrialTable(("wer",)).save(own_run.trials)
    with pytest.raises(SettingsError, match="must have a completed trial to search around"):
        refine(own_run.path, tmp_path / "refined", trials=1)
    own_run.optimal_config.unlink()
    with pytest.raises(SettingsError, match="must be a finished run"):
        refine(own_run.path, tmp_path / "refined", trials=1)


def test_earlier_winners_come_first_and_once(tmp_path: Path) -> None:
    path = tmp_path / "optimal_config.json"
    save_config(path, {"learning_rate": 1e-4})
    for rate in (2e-4, 1e-4, 3e-4):
        publish({"hyperparameters": {"learning_rate": rate}}, path)
    settings = TuneSettings(data="d", model="tiny.en", start_from=read_winners(str(path)))
    default = settings.default_configuration()
    assert [each["learning_rate"] for each in settings.first_configurations(default, 20)] == [3e-4, 1e-4, 2e-4]
    assert [each["learning_rate"] for each in settings.first_configurations(default, 5)] == [3e-4, 1e-4]
    assert settings.first_configurations({**default, "learning_rate": 3e-4}, 2)[0]["learning_rate"] == 1e-4
    assert TuneSettings.from_dict(json.loads(json.dumps(settings.to_dict()))).first_configurations(default, 2) == (
        settings.first_configurations(default, 2)
    )


def _plan(sweep: SweepConfig, settings: TuneSettings, table: TrialTable) -> dict[int, object]:
    """The learning rates of the trials to run, by number; None where one is to be drawn."""
    default = settings.default_configuration(sweep.parameters)
    count = sweep.count_trials(settings.trials)
    plan = TrialPlan(
        num_trials=count,
        seed=0,
        resources=synthetic.ONE_AT_A_TIME,
        scheduler="asha",
        identity=build_identity("disabled", folder=Path(), project="p", group="g", tags=()),
        default=default,
        first=settings.first_configurations(default, count),
    )
    planned = _plan_trials(sweep, plan, table)
    return {number: each and each["learning_rate"] for number, each in planned.items()}


_SWEEP = SweepConfig.from_dict(
    {"method": "random", "metric": {"name": "wer"}, "parameters": {"learning_rate": {"min": 1e-6, "max": 1e-3}}}
)


def test_earlier_winners_that_found_no_room_come_first_where_a_run_is_given_more(tmp_path: Path) -> None:
    winners = [{"learning_rate": rate} for rate in (1e-4, 2e-4, 3e-4, 4e-4)]
    settings = TuneSettings(data="d", model="tiny.en", trials=3, start_from=winners)
    assert _plan(_SWEEP, settings, TrialTable(("wer",))) == {0: None, 1: 1e-4, 2: None}
    default = settings.default_configuration(["learning_rate"])
    ran = [
        Trial(f"id{i}", i, i == 0, {**default, "learning_rate": rate}, "completed" if i < 2 else "interrupted")
        for i, rate in enumerate((1e-5, 1e-4, 5e-5))
    ]
    TrialTable(("wer",), ran).save(tmp_path / "trials.parquet")
    table = TrialTable.load(tmp_path / "trials.parquet")
    assert _plan(_SWEEP, replace(settings, trials=7), table) == {2: 5e-5, 3: 2e-4, 4: 3e-4, 5: None, 6: None}
    assert _plan(_SWEEP, replace(settings, trials=20), table) == {
        **{2: 5e-5, 3: 2e-4, 4: 3e-4, 5: 4e-4},
        **dict.fromkeys(range(6, 20)),
    }


def test_a_refined_run_gets_as_many_trials_as_were_asked_for_whatever_numbers_there_are() -> None:
    table = TrialTable(("wer",), [make_trial(0, "completed", 0.4), make_trial(9, "completed", 0.3)])
    settings = TuneSettings(data="d", model="tiny.en", trials=len(table.ended()) + 3)
    assert list(_plan(_SWEEP, settings, table)) == [1, 2, 3]
    for number in (1, 2, 3):
        table.add(make_trial(number, "completed", 0.2))
    assert _plan(_SWEEP, settings, table) == {}


def test_budgets_without_a_meaning_are_refused_before_anything_is_loaded() -> None:
    sweep = SweepConfig.from_dict(
        {"method": "random", "metric": {"name": "cer"}, "parameters": {"dropout": {"min": 0.0, "max": 0.1}}}
    )
    settings = TuneSettings(data="d", model="tiny.en")
    check_fits(sweep, replace(settings, time_budget_s=60.0, gpu_hours=1.0))
    for change, message in (
        ({"target_wer": 0.1}, "--target-wer: must be given where the metric is wer, found cer"),
        ({"min_improvement": 0.01}, "only the model of the method bayes knows"),
    ):
        with pytest.raises(SettingsError, match=message):
            check_fits(sweep, replace(settings, **change))
    grid = SweepConfig.from_dict({"method": "grid", "parameters": {"epochs": {"values": [1, 2]}}})
    with pytest.raises(SettingsError, match="--start-from: must be given with the method random or bayes, found grid"):
        check_fits(grid, replace(settings, start_from=[{"learning_rate": 1e-4}]))
    with pytest.raises(SettingsError, match="--gpu-hours must be above 0, found 0"):
        replace(settings, gpu_hours=0)
    assert settings.budget == Budget()
