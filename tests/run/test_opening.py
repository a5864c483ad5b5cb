"""Runs at URLs: what the driver writes arrives, whole and in time; one driver at a time; storage that fails."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import pytest

from stt_tune.errors import SettingsError, SharedFileError, StorageError
from stt_tune.results.shared_file import open_shared
from stt_tune.run import lease, mirror
from stt_tune.run.folder import RunFolder
from stt_tune.run.mirror import Mirror, collect
from stt_tune.run.opening import opened
from stt_tune.transfer import push
from tests.s3 import running_s3


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    with running_s3() as bucket:
        yield bucket


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for module, name, seconds in (
        (mirror, "_EVERY_S", 0.1),
        (mirror, "_PATIENCE_S", 0.5),
        (lease, "_BEAT_S", 0.2),
        (lease, "_LEFT_S", 2.0),
        (lease, "_LOOK_EVERY_S", 0.1),
    ):
        monkeypatch.setattr(module, name, seconds)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "one-machine"))


@pytest.fixture(params=["s3", "memory"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    name = f"{tmp_path.name}/run"
    return f"{request.getfixturevalue('s3')}/{name}" if request.param == "s3" else f"memory://{name}"


def _list(url: str) -> dict[str, str]:
    system, root = fsspec.url_to_fs(url)
    system.invalidate_cache()
    found = {}
    for each in system.find(root):
        with contextlib.suppress(FileNotFoundError):  # gone meanwhile
            found[each[len(root.rstrip("/")) + 1 :]] = system.cat_file(each).decode()
    return found


def _wait_for(url: str, name: str, content: str) -> None:
    end = time.monotonic() + 20
    while _list(url).get(name) != content:
        assert time.monotonic() < end, _list(url)
        time.sleep(0.05)


def _go_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another-machine"))


def test_a_path_is_a_folder_as_it_is(tmp_path: Path) -> None:
    for location in (tmp_path / "run", f"file://{tmp_path}/run"):
        with opened(location) as folder:
            assert folder == RunFolder(tmp_path / "run")
            assert folder.url is None
            assert folder.share(folder.utterances) == f"{tmp_path}/run/utterances"


def test_what_changes_is_sent_while_the_run_goes_on_and_all_of_it_at_the_end(url: str) -> None:
    with opened(url) as folder:
        assert (folder.url, folder.location, folder.share(folder.models)) == (url, url, f"{url}/models")
        folder.run.write_text("1")
        _wait_for(url, "run.json", "1")
        folder.run.write_text("12")
        _wait_for(url, "run.json", "12")
        folder.optimal_config.write_text("old")
        _wait_for(url, "optimal_config.json", "old")
        folder.optimal_config.replace(folder.optimal_config.with_suffix(".before.json"))
        _wait_for(url, "optimal_config.before.json", "old")
        for name in ("checkpoints/state", "models/a/weights", "confirm/a.json", ".hidden"):
            (folder.path / name).parent.mkdir(parents=True, exist_ok=True)
            (folder.path / name).write_text("3")
    sent = _list(url)
    assert "driver" not in json.loads(sent.pop("driver.json"))
    assert sent == {"run.json": "12", "optimal_config.before.json": "old", "confirm/a.json": "3"}


def test_another_machine_goes_on_where_the_last_one_was(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(url) as folder:
        folder.run.write_text("1")
        for name in ("wandb", "utterances", "best_model"):
            (folder.path / name).mkdir()
            (folder.path / name / "a").write_text(name)
    _go_elsewhere(monkeypatch, tmp_path)
    with opened(url) as folder:
        assert tmp_path / "another-machine" in folder.path.parents
        assert folder.run.read_text() == "1"
        assert (folder.utterances / "a").read_text() == "utterances"
        assert not folder.best_model.exists()
        folder.run.write_text("2")
    assert {"run.json": "2", "best_model/a": "best_model", "wandb/a": "wandb"}.items() <= _list(url).items()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "one-machine"))
    with opened(url) as folder:
        assert folder.run.read_text() == "2"


def test_a_driver_that_ends_before_its_old_copy_is_gone_does_not_leave_it_as_the_run(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _run(url, _write)
    with monkeypatch.context() as elsewhere:
        _go_elsewhere(elsewhere, tmp_path)
        _run(url, lambda folder: folder.run.write_text("2"))
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", _refuse)
        with pytest.raises(OSError, match="the disk is out"):
            _run(url)
    with opened(url) as folder:
        assert folder.run.read_text() == "2"
    assert _list(url)["run.json"] == "2"


def _run(url: str, write: Callable[[RunFolder], object] = lambda _folder: None) -> None:
    with opened(url) as folder:
        write(folder)


def _write(folder: RunFolder) -> None:
    folder.run.write_text("1")


def test_what_the_last_driver_could_not_send_is_not_lost(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(mirror, "put_file", _refuse)
        told = f"{url}: must hold all of the run, and does not .*the disk is out"
        with pytest.raises(StorageError, match=told):
            _run(url, _write)
    assert "run.json" not in _list(url)
    with opened(url) as folder:
        assert folder.run.read_text() == "1"
    assert _list(url)["run.json"] == "1"


def _refuse(*_arguments: object, **_options: object) -> None:
    raise OSError("the disk is out")


def test_storage_that_fails_is_told_once_and_ends_nothing(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with opened(url) as folder:
        with monkeypatch.context() as patch:
            patch.setattr(mirror, "put_file", _refuse)
            folder.run.write_text("1")
            time.sleep(1)
        _wait_for(url, "run.json", "1")
    said = capsys.readouterr().err
    assert said.count("(the disk is out)") == 1
    assert f"The sweep goes on in {folder.path}; sending it is tried again." in said
    assert f"{url}: is up to date again" in said


def test_an_error_of_the_run_goes_before_that_of_its_storage(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(mirror, "put_file", _refuse)

    def fail(folder: RunFolder) -> None:
        _write(folder)
        raise KeyError

    with pytest.raises(KeyError):
        _run(url, fail)
    told = f"If no other driver goes on without it before, the next stt-tune resume {url} on this machine sends it."
    assert told in capsys.readouterr().err


def _run_elsewhere(url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with monkeypatch.context() as elsewhere:
        _go_elsewhere(elsewhere, tmp_path)
        _run(url, lambda folder: folder.run.write_text("elsewhere"))


def _find_kept(tmp_path: Path) -> list[Path]:
    """What lies on the first machine beside its copy of the run."""
    return list((tmp_path / "one-machine" / "stt_tune" / "runs").glob("run-*-until-*"))


def test_what_was_not_sent_before_another_driver_went_on_is_kept_beside_its_copy(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(mirror, "put_file", _refuse)
        with pytest.raises(StorageError):
            _run(url, _write)
    _run_elsewhere(url, monkeypatch, tmp_path)
    capsys.readouterr()
    with opened(url) as folder:
        assert folder.run.read_text() == "elsewhere"
    (kept,) = _find_kept(tmp_path)
    assert RunFolder(kept).run.read_text() == "1"
    assert RunFolder(kept).location == str(kept)
    assert (
        f"{url}: another driver has gone on without what this machine had, of which not all was sent. That is kept as "
        f"a run folder of its own, {kept}; delete it once you do not need it."
    ) in capsys.readouterr().err
    assert _list(url)["run.json"] == "elsewhere"


def _refuse_to_run(_folder: RunFolder) -> None:
    raise SettingsError("must be a finished run")


def test_a_command_that_changes_nothing_elsewhere_leaves_what_was_not_sent_to_who_has_it(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _run(url, lambda folder: folder.run.write_text("begun"))
    with monkeypatch.context() as patch:
        patch.setattr(mirror, "put_file", _refuse)
        with pytest.raises(StorageError):
            _run(url, _write)
    with monkeypatch.context() as elsewhere:
        _go_elsewhere(elsewhere, tmp_path)
        with pytest.raises(SettingsError, match="must be a finished run"):
            _run(url, _refuse_to_run)
        _run(url)
    with opened(url) as folder:
        assert folder.run.read_text() == "1"
    assert _list(url)["run.json"] == "1"
    assert not _find_kept(tmp_path)
    assert "another driver" not in capsys.readouterr().err


def test_a_driver_that_could_not_say_that_it_has_begun_goes_on_with_its_copy(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _run(url, lambda folder: folder.run.write_text("begun"))
    _go_elsewhere(monkeypatch, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(lease.Lease, "claim", lambda _self: False)  # as where the network is down from here on
        with pytest.raises(StorageError, match=f"{url}/driver.json: must be a file that can be written"):
            _run(url, _write)
    assert _list(url)["run.json"] == "begun"
    _run(url)
    assert _list(url)["run.json"] == "1"
    with opened(url) as folder:
        assert folder.run.read_text() == "1"


def test_what_was_sent_before_another_driver_went_on_is_not_kept(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(folder: RunFolder) -> None:
        _write(folder)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _run(url, interrupt)
    _run_elsewhere(url, monkeypatch, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Mirror, "fetch", _refuse)  # leaves the copy empty
        with pytest.raises(OSError, match="the disk is out"):
            _run(url)
    with opened(url) as folder:
        assert folder.run.read_text() == "elsewhere"
    assert not _find_kept(tmp_path)
    assert "another driver" not in capsys.readouterr().err


def test_what_workers_have_sent_is_collected(url: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("heard")
    with opened(url) as folder:
        push(tmp_path / "a", f"{folder.share(folder.utterances)}/a.parquet")
        collect(folder, folder.utterances)
        collect(folder, folder.confirm)
        assert (folder.utterances / "a.parquet").read_text() == "heard"
    assert _list(url)["utterances/a.parquet"] == "heard"


def test_a_run_whose_files_are_called_out_of_its_folder_is_refused(url: str, tmp_path: Path) -> None:
    system, root = fsspec.url_to_fs(url)
    for name in ("run.json", "../../taken", "utterances/../../../taken"):
        system.pipe_file(f"{root}/{name}", b"not ours")
    with pytest.raises(StorageError, match=f"{url}: must hold files whose names lie in it, found '../../taken'"):
        _run(url)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_two_drivers_do_not_run_one_sweep(url: str) -> None:
    with opened(url):
        told = f"{url}: must be run by one process at a time, and another one runs it"
        with pytest.raises(SettingsError, match=told):
            _run(url)
        time.sleep(0.5)
    _run(url)


_DRIVER = """
import sys, time
from stt_tune.run.opening import opened
with opened(sys.argv[1]) as folder:
    folder.run.write_text("killed")
    print("open", flush=True)
    time.sleep(60)
"""


def test_a_driver_that_was_killed_is_followed_at_once_on_its_machine(s3: str, tmp_path: Path) -> None:
    url = f"{s3}/{tmp_path.name}/killed"
    driver = subprocess.Popen([sys.executable, "-c", _DRIVER, url], stdout=subprocess.PIPE, text=True)
    assert driver.stdout
    assert driver.stdout.readline() == "open\n"
    driver.kill()
    driver.wait()
    with opened(url) as folder:
        assert folder.run.read_text() == "killed"
    assert _list(url)["run.json"] == "killed"


def test_a_driver_that_lives_in_another_container_of_its_host_is_not_taken_for_dead(s3: str, tmp_path: Path) -> None:
    container = ["unshare", "--pid", "--fork", "--mount-proc"]
    if subprocess.run([*container, "true"], capture_output=True).returncode:
        pytest.skip("processes with numbers of their own: PID namespaces are not allowed here")
    url = f"{s3}/{tmp_path.name}/containers"
    with opened(url):
        other = subprocess.run([*container, sys.executable, "-c", _DRIVER, url], capture_output=True, text=True)
    assert other.returncode == 1
    assert f"another one runs it (process {os.getpid()} on " in other.stderr


def test_a_driver_of_an_earlier_version_is_followed_once_it_is_silent(url: str) -> None:
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    left = {"driver": "another", "host": socket.gethostname(), "pid": int(gone.stdout), "copy": "its"}
    open_shared(f"{url}/driver.json").update(lambda _before: json.dumps(left), 5)
    _run(url, _write)
    assert _list(url)["run.json"] == "1"


def test_a_driver_of_another_machine_is_followed_once_it_is_silent(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    left = {"driver": "another", "host": "elsewhere", "pid": os.getpid(), "copy": "its"}
    open_shared(f"{url}/driver.json").update(lambda _before: json.dumps(left), 5)
    with opened(url):
        assert json.loads(_list(url)["driver.json"])["driver"] != "another"
    assert f"to see whether process {os.getpid()} on elsewhere still drives it" in capsys.readouterr().err


def test_a_driver_that_was_taken_for_dead_sends_nothing_any_more_and_loses_nothing(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = json.dumps({"driver": "another", "host": "elsewhere", "pid": 1, "copy": "its"})

    def lose(folder: RunFolder) -> None:
        open_shared(f"{url}/driver.json").update(lambda _before: other, 5)
        time.sleep(1)
        _write(folder)

    with pytest.raises(StorageError, match="another process drives it") as caught:
        _run(url, lose)
    assert _list(url) == {"driver.json": other}
    assert "another process drives it now, so nothing is sent there any more" in capsys.readouterr().err
    assert "It is not sent any more, as that process goes on without it; the next stt-tune command that opens" in str(
        caught.value
    )
    assert "sends it" not in str(caught.value)
    open_shared(f"{url}/driver.json").update(lambda _before: json.dumps({"copy": "its"}), 5)
    _run(url)
    (kept,) = _find_kept(tmp_path)
    assert RunFolder(kept).run.read_text() == "1"


def test_a_driver_that_learns_at_its_end_that_another_one_has_gone_on_tells_so(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "_BEAT_S", 60)

    def lose(folder: RunFolder) -> None:
        _write(folder)
        open_shared(f"{url}/driver.json").update(lambda _before: json.dumps({"driver": "another", "copy": "its"}), 5)

    with pytest.raises(StorageError, match=r"another process drives it.*It is not sent any more"):
        _run(url, lose)
    open_shared(f"{url}/driver.json").update(lambda _before: json.dumps({"copy": "its"}), 5)
    _run(url)
    (kept,) = _find_kept(tmp_path)
    assert RunFolder(kept).run.read_text() == "1"


def test_storage_that_cannot_be_written_is_told_at_once(s3: str) -> None:
    with pytest.raises(
        SharedFileError, match=r"s3://none/run/driver.json: must be a file that can be read and written"
    ):
        _run("s3://none/run")
