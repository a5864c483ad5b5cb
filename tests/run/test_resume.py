"""A finished run that is given more."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from stt_tune.errors import SettingsError
from stt_tune.results.trials import TrialTable
from stt_tune.run.folder import RunFolder
from stt_tune.run.resume import resume


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


def test_what_the_sweep_gives_no_meaning_is_refused_and_changes_nothing(own_run: RunFolder) -> None:
    before = own_run.run.read_text()
    with pytest.raises(SettingsError, match="only the model of the method bayes knows"):
        resume(own_run.path, min_improvement=0.01)
    with pytest.raises(SettingsError, match="--trials must be at least 1, found 0"):
        resume(own_run.path, trials=0)
    assert own_run.run.read_text() == before
    assert own_run.optimal_config.exists()
