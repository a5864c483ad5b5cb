from __future__ import annotations

import math
import re
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stt_tune.errors import SettingsError
from stt_tune.results.frames import reports_frame, trials_frame
from stt_tune.results.trials import STATUSES, Trial, TrialTable
from stt_tune.run.loading import load_reports, load_trials
from stt_tune.transfer import push


def _trial(number: int, wers: list[float], status: str = "completed", **configuration: object) -> Trial:
    reports = [{"epoch": epoch, "wer": wer} for epoch, wer in enumerate(wers, start=1)]
    return Trial(f"id{number}", number, number == 0, configuration, status, reports=reports)


_WER = st.floats(0, 3) | st.just(math.nan)
_TRIALS = st.lists(st.tuples(st.lists(_WER, max_size=4), st.sampled_from(STATUSES), st.floats(1e-6, 1)), max_size=6)


@given(_TRIALS)
def test_a_table_survives_being_saved(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[tuple[list[float], str, float]]
) -> None:
    trials = [_trial(i, wers, status, rate=rate, size=8) for i, (wers, status, rate) in enumerate(drawn)]
    table = TrialTable(("wer", "test_loss"), trials)
    path = tmp_path_factory.mktemp("table") / "trials.parquet"
    table.save(path)
    again = TrialTable.load(path)
    assert again.to_arrow().schema.equals(table.to_arrow().schema, check_metadata=True)
    # written out, because NaN is not equal to itself
    assert repr(again.to_arrow().to_pylist()) == repr(table.to_arrow().to_pylist())
    assert [trial.configuration for trial in again.trials] == [trial.configuration for trial in trials]
    assert [len(trial.reports) for trial in again.trials] == [len(trial.reports) for trial in trials]


def test_the_schema_is_explicit(tmp_path: Path) -> None:
    table = TrialTable(("wer",), [_trial(0, [0.5], rate=1, size=8, name="a"), _trial(1, [], "failed", rate=0.5)])
    schema = table.to_arrow().schema
    fixed = ["trial_id", "number", "status", "is_default", "error", "retries", "epoch", "wer"]
    assert schema.names == [*fixed, "config.name", "config.rate", "config.size"]
    assert [schema.field(f"config.{name}").type for name in ("rate", "size", "name")] == [
        pa.float64(),
        pa.int64(),
        pa.string(),
    ]
    assert table.to_arrow().to_pylist()[1]["epoch"] is None


def test_the_best_is_the_earliest_completed_one() -> None:
    table = TrialTable(
        ("wer",),
        [
            _trial(0, [0.3, 0.2]),
            _trial(1, [0.1], "stopped_early"),
            _trial(2, [0.5, 0.15]),
            _trial(3, [0.05, 0.15]),
            _trial(4, [math.nan], "diverged"),
        ],
    )
    assert (table.best("wer", "min") or _trial(9, [])).number == 2
    assert (table.best("wer", "max") or _trial(9, [])).number == 0
    assert TrialTable(("wer",), [_trial(0, [0.1], "failed")]).best("wer", "min") is None


def test_frames_have_one_row_a_report_and_one_a_trial(tmp_path: Path) -> None:
    TrialTable(("wer",), [_trial(0, [0.3, 0.2], rate=0.1), _trial(1, [0.4], "stopped_early", rate=0.2)]).save(
        tmp_path / "trials.parquet"
    )
    assert load_reports(tmp_path)["wer"].tolist() == [0.3, 0.2, 0.4]
    trials = load_trials(tmp_path)
    assert (trials["wer"].tolist(), trials["epoch"].tolist()) == ([0.2, 0.4], [2, 1])
    reports = load_reports(tmp_path, "arrow")
    assert reports["wer"].to_pylist() == [0.3, 0.2, 0.4]
    assert load_trials(tmp_path, "arrow").schema == reports.schema
    with pytest.raises(SettingsError, match="library: must be one of pandas, arrow, found 'polars'"):
        load_trials(tmp_path, "polars")  # type: ignore[call-overload]


def test_a_row_of_a_trial_has_each_metric_as_it_was_last_reported() -> None:
    reports = [{"epoch": 1, "wer": 0.4}, {"epoch": 2, "wer": 0.3}, {"epoch": 3, "test_loss": 1.0}]
    trials = [
        Trial(status, i, False, {}, status, reports=reports) for i, status in enumerate(("completed", "diverged"))
    ]
    table = TrialTable(("wer", "test_loss"), trials)
    for frame in (trials_frame(table), trials_frame(table, "arrow").to_pandas()):
        assert frame["wer"].tolist() == pytest.approx([0.3, math.nan], nan_ok=True)
        assert frame["test_loss"].tolist() == [1.0, 1.0]
        assert frame["epoch"].tolist() == [3, 3]
    assert frame["wer"][0] == trials[0].last("wer")


def test_a_run_at_a_url_is_loaded_however_that_ends(tmp_path: Path) -> None:
    TrialTable(("wer",), [_trial(0, [0.3])]).save(tmp_path / "trials.parquet")
    push(tmp_path / "trials.parquet", f"memory://{tmp_path.name}/trials.parquet")
    for ending in ("", "/"):
        assert load_trials(f"memory://{tmp_path.name}{ending}")["wer"].tolist() == [0.3]


def test_a_trial_that_reported_nothing_has_a_row(tmp_path: Path) -> None:
    table = TrialTable(("wer",), [_trial(0, []), _trial(1, [0.3, 0.2]), _trial(2, [])])
    table.save(tmp_path / "trials.parquet")
    assert load_trials(tmp_path)["number"].tolist() == [0, 1, 2]
    TrialTable(("wer",)).save(tmp_path / "trials.parquet")
    assert load_trials(tmp_path).empty


def test_a_file_that_is_no_table_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "trials.parquet"
    with pytest.raises(SettingsError, match="must be a trial table, and cannot be read"):
        TrialTable.load(path)
    path.write_bytes(b"PAR1 and then nothing")
    with pytest.raises(SettingsError, match="must be a trial table, and cannot be read"):
        TrialTable.load(path)


@pytest.mark.parametrize("trial_id", ["../../taken", "/taken", "..", ".", ""])
def test_an_id_that_is_no_name_of_a_file_is_refused(tmp_path: Path, trial_id: str) -> None:
    path = tmp_path / "trials.parquet"
    TrialTable(("wer",), [Trial(trial_id, 0, False, {}, "completed")]).save(path)
    with pytest.raises(SettingsError, match=f"must be a trial table, and .*{re.escape(repr(trial_id))} is no trial's"):
        TrialTable.load(path)


def test_metrics_may_be_called_like_other_columns(tmp_path: Path) -> None:
    table = TrialTable(("error",), [Trial("a", 0, False, {"error": 1}, "completed")])
    table.report("a", {"epoch": 1, "error": 0.5, "status": 3, "config.error": 2, "count": 10**19})
    table.save(tmp_path / "trials.parquet")
    (again,) = TrialTable.load(tmp_path / "trials.parquet").trials
    assert again.reports == [{"epoch": 1, "error": 0.5, "status": 3.0, "config.error": 2.0, "count": 1e19}]
    assert (again.status, again.error, again.configuration) == ("completed", None, {"error": 1})
    assert again.last("error") == 0.5
    frame = reports_frame(table)
    assert list(frame["metric.error"]) == [0.5]
    assert list(frame["status"]) == ["completed"]


@pytest.mark.parametrize(
    ("status", "outcome"),
    [("completed", 0.25), ("stopped_early", 0.25), ("failed", None), ("diverged", None), ("interrupted", "running")],
)
def test_what_a_search_learns_from_a_trial(status: str, outcome: object) -> None:
    trial = Trial("a", 0, False, {}, status, reports=[{"epoch": 1, "wer": 0.25}, {"epoch": 2, "loss": 1.0}])
    found = trial.outcome("wer")
    assert found is None if outcome == "running" else found == outcome or math.isnan(found or 0.0)
