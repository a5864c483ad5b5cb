"""A disk that is full for a while; the disk is a real one, of half a megabyte."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stt_tune.errors import SweepHaltedError
from stt_tune.results.trials import TrialTable
from stt_tune.run import patience
from stt_tune.run.patience import PatientWriter, insist, keep_beside
from stt_tune.run.reporting import report
from stt_tune.speech.families.base import SpeechModel
from stt_tune.speech.model import load_model
from stt_tune.speech.saved import save_if_best
from tests.run import synthetic
from tests.run.tables import wait_for_table
from tests.speech.families import make_whisper

_SIZE = 200_000


def _write(path: Path) -> None:
    path.write_bytes(bytes(_SIZE))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "disk"
    path.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", path], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr}")
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)


def _fill(disk: Path) -> Path:
    ballast = disk / "ballast"
    free = os.statvfs(disk)
    ballast.write_bytes(bytes(free.f_bavail * free.f_frsize))
    return ballast


def _make_writer(disk: Path) -> tuple[Path, PatientWriter]:
    """What writes a file of `_SIZE`, and where."""
    path = disk / "file"
    return path, PatientWriter(path, lambda: _write(path), disk)


def test_what_cannot_be_written_is_told_once_and_written_when_it_can_be(
    small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ballast = _fill(small_disk)
    path, writer = _make_writer(small_disk)
    writer.write()
    writer.write()
    told = capsys.readouterr().err
    assert told.count(f"{path}: cannot be written now (No space left on device). The sweep goes on") == 1
    ballast.unlink()
    writer.write()
    assert "can be written again, and nothing is lost" in capsys.readouterr().err
    assert path.stat().st_size == _SIZE


def test_what_is_written_for_the_last_time_is_tried_until_it_can_be(
    small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ballast = _fill(small_disk)
    path, writer = _make_writer(small_disk)
    writer.write()
    threading.Timer(1.5, ballast.unlink).start()
    writer.finish()
    assert path.stat().st_size == _SIZE
    told = capsys.readouterr().err
    assert (told.count("cannot be written now"), told.count("can be written again")) == (1, 1)


def test_what_is_insisted_on_waits_for_the_disk(small_disk: Path) -> None:
    path = small_disk / "file"
    ballast = _fill(small_disk)
    threading.Timer(1.5, ballast.unlink).start()
    insist(lambda: _write(path))
    assert path.stat().st_size == _SIZE


def test_patience_ends(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "PATIENCE_S", 0.0)
    _fill(small_disk)
    path, writer = _make_writer(small_disk)
    with pytest.raises(OSError, match="No space left"):
        insist(lambda: _write(path))
    writer.write()
    with pytest.raises(OSError, match="No space left"):
        writer.write()


def test_a_disk_that_stays_full_costs_a_trial_its_weights_and_not_its_result(
    small_disk: Path,
    tmp_path: Path,
    tiny: SpeechModel,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(patience, "PATIENCE_S", 0.0)
    make_whisper(tiny)(tmp_path / "published")
    model = load_model(str(tmp_path / "published"))
    network, models = model.build(), small_disk / "models"
    trained_with = network.config
    keep_beside(lambda: save_if_best(network, model, models, "a", 0.5), str(models))
    told = f"{models}: cannot be written ([Errno 28] No space left on device: '{models / 'a'}'). The trial goes on"
    assert told in capsys.readouterr().err
    assert network.config is trained_with


@pytest.mark.usefixtures("ray_session")
def test_a_sweep_outlives_a_disk_that_is_full_for_a_while(
    small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    folder, freed = small_disk / "run", tmp_path / "freed"
    ballast: list[Path] = []
    say = patience.say

    def train(config: dict[str, Any]) -> None:
        end = time.monotonic() + 60
        while config != synthetic.DEFAULT and not freed.exists() and time.monotonic() < end:  # all but the first trial
            time.sleep(0.05)
        synthetic.falling(config)

    def fill(table: TrialTable, _trial: object) -> None:
        if table.ended() and not ballast:
            ballast.append(_fill(small_disk))

    def free_once_told(text: str) -> None:
        say(text)
        if "cannot be written now" in text and not freed.exists():
            ballast[0].unlink()
            freed.touch()

    monkeypatch.setattr(patience, "say", free_once_told)
    table = synthetic.run(folder, train, trials=5, on_change=fill)
    assert table.counts() == {"completed": 5}
    assert TrialTable.load(folder / "trials.parquet").to_arrow().equals(table.to_arrow())
    told = capfd.readouterr().err
    assert told.count("trials.parquet: cannot be written now") == 1
    assert "No space left on device" in told
    assert told.count("trials.parquet: can be written again") == 1


@pytest.mark.usefixtures("ray_session")
def test_storage_that_is_gone_is_told_though_all_trials_wait_and_report_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder, away, back = tmp_path / "run", tmp_path / "away", tmp_path / "back"

    def train(config: dict[str, Any]) -> None:
        report(epoch=1, wer=0.5)
        while not back.exists():
            time.sleep(0.05)
        report(epoch=2, wer=0.4)

    def take_away() -> None:
        wait_for_table(folder, lambda table: any(trial.reports for trial in table.trials))
        folder.rename(away)
        time.sleep(3)
        away.rename(folder)
        time.sleep(2)
        back.touch()

    disturber = threading.Thread(target=take_away)
    disturber.start()
    table = synthetic.run(folder, train, trials=1)
    disturber.join()
    assert table.counts() == {"completed": 1}
    told = capfd.readouterr().err
    assert told.count("trials.parquet: cannot be written now (No such file or directory)") == 1
    assert "trials wait as long with what they write there" in told
    assert told.count("can be written again") == 1


@pytest.mark.usefixtures("ray_session")
def test_trials_that_wait_for_storage_that_only_they_miss_are_told_of_once(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    missed = tmp_path / "missed"

    def train(config: dict[str, Any]) -> None:
        (tmp_path / f"{config['learning_rate']}.waits").touch()
        insist(lambda: None, missed)
        report(epoch=1, wer=0.5)
        time.sleep(2)

    def bring_back() -> None:
        while len(list(tmp_path.glob("*.waits"))) < 2:
            time.sleep(0.05)
        time.sleep(3)
        missed.mkdir()

    bringer = threading.Thread(target=bring_back)
    bringer.start()
    table = synthetic.run(tmp_path / "run", train, trials=2, resources=synthetic.TWO_AT_A_TIME)
    bringer.join()
    assert table.counts() == {"completed": 2}
    told = capfd.readouterr().err
    assert told.count(f"{missed}: No such file or directory. What needs it there waits for up to 5 minutes.") == 1
    assert told.count(f"{missed} is there again") == 1


@pytest.mark.usefixtures("ray_session")
def test_a_disk_that_stays_full_ends_the_sweep_with_one_message(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "PATIENCE_S", 0.0)
    folder = small_disk / "run"

    def train(config: dict[str, Any]) -> None:
        if config != synthetic.DEFAULT:  # the first trial's end is on the disk before the second ends
            wait_for_table(folder, lambda table: bool(table.ended()))
        synthetic.falling(config)

    def fill(table: TrialTable, _trial: object) -> None:
        if len(table.ended()) == 2 and not (small_disk / "ballast").exists():
            _fill(small_disk)

    with pytest.raises((SweepHaltedError, OSError), match="No space left on device"):
        synthetic.run(folder, train, trials=6, on_change=fill)
    assert len(TrialTable.load(folder / "trials.parquet").ended()) >= 1
