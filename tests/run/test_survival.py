"""Real trainings whose worker or driver is killed come to the results of undisturbed ones."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stt_tune.results.trials import TrialTable
from stt_tune.results.utterances import load_counts
from tests.processes import kill_trials
from tests.run import survivor
from tests.run.tables import wait_for_table
from tests.wandb_files import read_runs

pytestmark = pytest.mark.slow

_TRIALS = 3


@pytest.fixture(scope="module")
def undisturbed(
    small_model: str, corpus: Path, ray_session: None, tmp_path_factory: pytest.TempPathFactory
) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("runs") / "undisturbed"
    return _results(survivor.run(folder, small_model, str(corpus), trials=_TRIALS))


def _results(table: TrialTable) -> list[dict[str, Any]]:
    """What trials gave, without what a clock says of it."""
    return [
        {
            "configuration": trial.configuration,
            "status": trial.status,
            "reports": [{**report, "seconds": 0} for report in trial.reports],
        }
        for trial in table.trials
    ]


def _run_disturbed(out: Path, model: str, corpus: Path, disturb: Callable[[], None]) -> TrialTable:
    """Run the sweep, and do that to it once a trial has come to its third epoch."""

    def wait_and_disturb() -> None:
        wait_for_table(out, lambda table: any(trial.last_epoch >= 3 for trial in table.trials))
        disturb()

    disturber = threading.Thread(target=wait_and_disturb)
    disturber.start()
    table = survivor.run(out, model, str(corpus), trials=_TRIALS)
    disturber.join()
    return table


@pytest.mark.usefixtures("ray_session")
def test_a_training_whose_worker_is_killed_goes_on_from_its_last_epoch_to_the_same_result(
    small_model: str, corpus: Path, undisturbed: list[dict[str, Any]], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    kept: list[Path] = []

    def kill() -> None:
        kept.extend(out.glob("checkpoints/*/checkpoint-*/whole.json"))
        kill_trials(os.getpid())

    table = _run_disturbed(out, small_model, corpus, kill)
    assert _results(table) == undisturbed
    assert sum(trial.retries for trial in table.trials) >= 1
    assert kept
    assert list(out.glob("checkpoints/*")) == []
    assert all(load_counts(out / "utterances" / f"{trial.trial_id}.parquet") for trial in table.trials)


@pytest.fixture
def share(tmp_path: Path) -> Iterator[Path]:
    """A folder that is mounted, as shared storage is."""
    path = tmp_path / "share"
    path.mkdir()
    if not _mount(path):
        pytest.skip("storage that goes away: mounting is not allowed here")
    try:
        yield path
    finally:
        _unmount(path)


def _mount(share: Path) -> bool:
    store = share.with_name("store")
    store.mkdir(exist_ok=True)
    return subprocess.run(["mount", "--bind", store, share], capture_output=True).returncode == 0


def _unmount(share: Path) -> None:
    subprocess.run(["umount", "--lazy", share], check=True)


@pytest.mark.usefixtures("ray_session")
def test_a_sweep_whose_storage_is_gone_for_a_minute_loses_nothing(
    small_model: str,
    corpus: Path,
    undisturbed: list[dict[str, Any]],
    share: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    out = share / "run"
    left_behind: list[Path] = []

    def take_away() -> None:
        _unmount(share)
        time.sleep(60)
        left_behind.extend(share.rglob("*"))
        _mount(share)

    table = _run_disturbed(out, small_model, corpus, take_away)
    assert _results(table) == undisturbed
    assert _results(TrialTable.load(out / "trials.parquet")) == undisturbed
    told = capfd.readouterr().err
    assert told.count("trials.parquet: cannot be written now") == told.count("can be written again") == 1
    assert left_behind == []  # nothing was written below the place of the mount, where nobody would see it again
    assert set(read_runs(out / "wandb")) == {trial.trial_id for trial in table.trials}
    assert all(load_counts(out / "utterances" / f"{trial.trial_id}.parquet") for trial in table.trials)


def test_a_sweep_whose_driver_is_killed_is_resumed_where_it_was(
    small_model: str, corpus: Path, undisturbed: list[dict[str, Any]], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    command = [sys.executable, "-m", "tests.run.survivor", out, small_model, corpus, str(_TRIALS)]
    # not the W&B service of these tests, which would take both for one process
    own = {name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"}
    with subprocess.Popen(command, env=own, stderr=subprocess.DEVNULL, start_new_session=True) as process:
        before = wait_for_table(out, lambda table: any(trial.last_epoch >= 4 for trial in table.trials))
        os.kill(process.pid, signal.SIGKILL)
    running = {trial.number: trial for trial in before.trials if trial.status == "interrupted"}
    assert running
    subprocess.run(command, env=own, check=True, capture_output=True)
    table = TrialTable.load(out / "trials.parquet")
    assert _results(table) == undisturbed
    for number, trial in running.items():
        assert table.trials[number].trial_id == trial.trial_id
        if trial.reports:  # it may have been killed before its first epoch
            # what it had done was not done again: its clock goes on
            assert table.trials[number].reports[0] == trial.reports[0]
    runs = read_runs(out / "wandb")
    runs.pop("", None)  # of a file in which nothing stood yet when the driver was killed
    assert set(runs) == {trial.trial_id for trial in table.trials}
    for run in runs.values():
        assert [row["epoch"] for row in run.history] == list(range(1, survivor.EPOCHS + 1))
