"""The specification of the view, as it would be sent to W&B."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stt_tune.results.optimal_config import read_optimal_config
from stt_tune.results.trials import TrialTable
from stt_tune.run.tune import TuneResult
from stt_tune.run.wandb_place import WandbPlace, find_place
from stt_tune.run.wandb_view import build_view, find_stretches, find_varied
from stt_tune.sweep.config import SweepConfig
from tests.run.wandb_folder import make_folder


def _specify(view: Any) -> dict[str, Any]:
    section: dict[str, Any] = json.loads(view._to_model().spec.model_dump_json(by_alias=True, exclude_none=True))
    return section["section"]


def _panels(view: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    sections = view["panelBankConfig"]["sections"]
    return [panel["config"] for each in sections for panel in each["panels"] if panel["viewType"] == kind]


@pytest.fixture
def view(tmp_path: Path) -> dict[str, Any]:
    """Of the small folder, which has no verdict."""
    folder = make_folder(tmp_path)
    place = find_place(folder)
    assert place is not None
    return _specify(build_view("someone", place, folder.read_sweep(), folder.read_table(("wer",)), None))


def test_parameters_are_axes_in_their_scales_with_the_metric_last(view: dict[str, Any]) -> None:
    (plot,) = _panels(view, "Parallel Coordinates Plot")
    assert [(column["accessor"], column.get("log")) for column in plot["columns"]] == [
        ("config:learning_rate.value", True),
        ("config:optimiser.value.name", None),  # `epochs` has one value, and is no axis
        ("summary:wer", None),
    ]


def test_importance_progress_and_comparison_are_there(view: dict[str, Any]) -> None:
    assert [panel["targetKey"] for panel in _panels(view, "Parameter Importance")] == ["wer"]
    (progress,) = _panels(view, "Scatter Plot")
    assert (progress["xAxis"], progress["yAxis"], progress["showMinYAxisLine"]) == (
        "run:createdAt",
        "summary:wer",
        True,
    )
    assert _panels(view, "Run Comparer") == [{"diffOnly": "split"}]


def test_curves_are_shown_from_rung_to_rung_with_those_that_went_on(view: dict[str, Any]) -> None:
    plots = _panels(view, "Run History Line Plot")
    assert [(plot["chartTitle"], plot.get("xAxisMin"), plot.get("xAxisMax")) for plot in plots] == [
        ("wer, all epochs", None, None),
        ("wer up to epoch 1: 3 trials", 0, 1),
        ("wer from epoch 1 to 3: 3 trials that went on", 1, 3),
        ("wer from epoch 3 to 9: 2 trials that went on", 3, 9),
    ]
    assert {(plot["xAxis"], *plot["metrics"]) for plot in plots} == {("epoch", "wer")}


def test_the_table_holds_the_sweeps_trials_the_best_first_the_winner_pinned(view: dict[str, Any]) -> None:
    (runs,) = view["runSets"]
    (only,) = runs["filters"]["filters"]
    assert (only["key"], only["op"]) == ({"section": "run", "name": "group"}, "=")
    assert only["value"] == 'small\'s "own" = x'  # as it is, whatever W&B's filters take for their own
    assert runs["sort"]["keys"] == [{"key": {"section": "summary", "name": "wer"}, "ascending": True}]
    assert runs["runFeed"]["columnOrder"] == [
        "run:displayName",
        "summary:status",
        "summary:wer",
        "summary:epoch",
        "tags:__ALL__",
        "config:learning_rate.value",
        "config:optimiser.value.name",
    ]
    assert len(runs["pinnedRunIds"]) == 2  # the best one and the default, which the others are compared with
    assert runs["baselineRunId"] in runs["pinnedRunIds"]
    assert view["settings"]["maxRuns"] == 100


@pytest.mark.parametrize(("goal", "line"), [("minimize", "showMinYAxisLine"), ("maximize", "showMaxYAxisLine")])
def test_any_sweep_has_a_view_even_one_that_has_not_begun(goal: str, line: str) -> None:
    sweep = SweepConfig.from_dict(
        {"method": "random", "metric": {"name": "a/b", "goal": goal}, "parameters": {"x": {"min": 0.0, "max": 1.0}}}
    )
    place = WandbPlace("p", "smile \U0001f600", "online", "team")
    view = build_view("team", place, sweep, TrialTable(("a/b",)), None)
    assert view.name == "Sweep smile "  # W&B refuses the rest
    spec = _specify(view)
    assert spec["runSets"][0]["filters"]["filters"][0]["value"] == "smile \U0001f600"
    assert spec["runSets"][0]["sort"]["keys"][0]["ascending"] == (goal == "minimize")
    assert line in _panels(spec, "Scatter Plot")[0]
    assert len(_panels(spec, "Run History Line Plot")) == 1


def test_the_verdict_on_held_out_speech_is_told(small_run: TuneResult) -> None:
    folder = small_run.folder
    place = find_place(folder)
    assert place is not None
    assert place.group == "small"
    document = read_optimal_config(folder.optimal_config)
    (text,) = _panels(
        _specify(build_view("someone", place, small_run.sweep, small_run.table, document)), "Markdown Panel"
    )
    assert "4 trials: " in text["value"]
    assert "On held-out speech (" in text["value"]
    assert "newest artifact of type `optimal-config`" in text["value"]


def test_many_rungs_share_the_last_stretch(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    bands = {"early_terminate": {"type": "hyperband", "min_iter": 1, "eta": 1.1}}
    sweep = SweepConfig.from_dict({**folder.read_sweep().to_dict(), **bands})
    stretches = find_stretches(sweep, folder.read_table(("wer",)).trials)
    assert [each[:2] for each in stretches] == [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 9)]
    assert set(find_varied(sweep)) == {"learning_rate", "optimiser.name"}
