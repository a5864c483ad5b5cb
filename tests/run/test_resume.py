"""A finished run that is given more."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from stt_tune.errors import ManifestError, SettingsError
from stt_tune.results.optimal_config import save_config
from stt_tune.results.trials import TrialTable
from stt_tune.run.folder import RunFolder
from stt_tune.run.resume import resume
from stt_tune.run.settings import TuneSettings
from stt_tune.sweep.config import SweepConfig
from tests.run.trials import make_trial


def test_a_finished_run_goes_on_with_more_trials_though_its_data_have_moved(
    own_run: RunFolder, corpus: Path, ray_session: None, tmp_path: Path
) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(corpus.parent, moved)
    before = TrialTable.load(own_run.trials)
    result = resume(own_run.path, trials=5, data=str(moved / corpus.name))
    after = TrialTable.load(own_run.trials)
    assert [trial.reports for trial in after.trials[:4]] == [trial.reports for trial in before.trials]
    assert len(after.trials) == 5
    assert result.document["trials"] == 5
    assert json.loads((own_run.path / "optimal_config.before.json").read_text())["trials"] == 4
    settings = own_run.read_run()["settings"]
    assert (settings["trials"], settings["data"]) == (5, str(moved / corpus.name))
    with pytest.raises(SettingsError, match=r"is finished: see .*With --trials or a higher limit it goes on"):
        resume(own_run.path)


@pytest.mark.parametrize("of_sweep", [True, False])
def test_more_trials_where_the_target_is_reached_are_refused_with_what_to_do(tmp_path: Path, of_sweep: bool) -> None:
    folder = RunFolder(tmp_path / "run")
    metric = {"name": "wer"} | ({"target": 0.2} if of_sweep else {})
    parameters = {"dropout": {"min": 0.0, "max": 0.1}}
    sweep = SweepConfig.from_dict({"name": "s", "method": "random", "metric": metric, "parameters": parameters})
    settings = TuneSettings(data=str(tmp_path / "none.jsonl"), model="tiny.en", target_wer=None if of_sweep else 0.2)
    folder.start(sweep, 0, None, {"settings": settings.to_dict()})
    TrialTable(("wer",), [make_trial(0, "completed", 0.4), make_trial(1, "completed", 0.19)]).save(folder.trials)
    save_config(folder.optimal_config, {"learning_rate": 1e-5})
    told = "none does: the target of wer, 0.2, is reached. Give a lower one with --target-wer, or search on without one"
    with pytest.raises(SettingsError, match=f"{told}: stt-tune refine {folder.path}"):
        resume(folder.path, trials=30)
    with pytest.raises(ManifestError, match=r"none\.jsonl"):  # nothing is in the way but the data
        resume(folder.path, trials=30, target_wer=0.1)


def test_what_the_sweep_gives_no_meaning_is_refused_and_changes_nothing(own_run: RunFolder) -> None:
    before = own_run.run.read_text()
    with pytest.raises(SettingsError, match="only the model of the method bayes knows"):
        resume(own_run.path, min_improvement=0.01)
    with pytest.raises(SettingsError, match="--trials must be at least 1, found 0"):
        resume(own_run.path, trials=0)
    assert own_run.run.read_text() == before
    assert own_run.optimal_config.exists()
