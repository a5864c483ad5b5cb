"""The file that many write: no update is lost, and whoever dies leaves it whole."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import fsspec
import pytest

from stt_tune.errors import SharedFileError
from stt_tune.results import shared_file
from stt_tune.results.optimal_config import (
    load_config,
    note,
    read_optimal_config,
    save_config,
    update_config,
    update_optimal_config,
)
from stt_tune.results.shared_file import open_shared
from tests.s3 import running_s3

_PARAMS = {"learning_rate": 1e-5, "epochs": 3}


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """The URL of a bucket on a real server, which speaks S3's protocol."""
    with running_s3() as bucket:
        yield bucket


@pytest.fixture(params=["path", "s3", "memory"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A path, a store that can compare and swap, and one that can only create."""
    if request.param == "path":
        return str(tmp_path / "shared" / "optimal_config.json")
    if request.param == "memory":
        return f"memory://{tmp_path.name}/optimal_config.json"
    return f"{request.getfixturevalue('s3')}/{tmp_path.name}/optimal_config.json"


def test_a_config_is_written_read_and_replaced_anywhere(location: str) -> None:
    shared = open_shared(location)
    assert shared.read() is None
    assert shared.stamp() is None
    save_config(location, _PARAMS)
    first = shared.stamp()
    assert first is not None
    assert shared.stamp() == first
    update_optimal_config({**_PARAMS, "epochs": 4}, location)
    assert shared.stamp() != first
    assert load_config(location)["epochs"] == 4
    assert read_optimal_config(location)["history"][0]["before"]["hyperparameters"] == _PARAMS


def _add(location: str, count: int, name: str) -> None:
    for i in range(count):
        update_config(location, lambda old, i=i: {**old, "history": [*old["history"], note(f"{name} {i}")]})


def test_threads_that_write_at_once_lose_nothing(location: str) -> None:
    save_config(location, _PARAMS)
    threads = [threading.Thread(target=_add, args=(location, 10, str(i))) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    history = read_optimal_config(location)["history"]
    assert {each["event"] for each in history} == {f"{i} {j}" for i in range(4) for j in range(10)}
    assert len(history) == 40


@pytest.mark.slow
def test_eight_processes_that_write_fifty_times_each_lose_nothing(tmp_path: Path) -> None:
    location = str(tmp_path / "optimal_config.json")
    save_config(location, _PARAMS)
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_add, args=(location, 50, str(i))) for i in range(8)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    document = read_optimal_config(location)
    assert len(document["history"]) == 400
    assert len({each["event"] for each in document["history"]}) == 400
    assert document["revision"] == 401


def test_a_writer_killed_at_any_step_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    """The process is killed at its first system event while writing, at its second, and so on until it ends."""
    path = tmp_path / "optimal_config.json"
    save_config(path, {"epochs": 1})
    seen, epochs, step = set(), 1, 0
    while True:
        step += 1
        wanted = epochs + 1
        if not _is_killed_at(step, path, wanted):
            break
        found = load_config(path)["epochs"]
        assert found in (epochs, wanted)
        seen.add(found == wanted)
        epochs = found
    assert load_config(path)["epochs"] == wanted
    assert step > 15
    assert seen == {False, True}
    # what the dead left is cleared away by the next writer
    save_config(path, {"epochs": 1})
    assert {each.name for each in tmp_path.iterdir()} <= {path.name, f".{path.name}.lock"}


def test_a_writer_killed_hundreds_of_times_leaves_a_valid_file(tmp_path: Path) -> None:
    """Killed by the clock, wherever it is, 300 times or more; another process's update always gets through."""
    path = tmp_path / "optimal_config.json"
    save_config(path, {"epochs": 1})
    # in a process of little memory, which is quick to fork
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as small:
        small.submit(_kill_writers, path).result()
    revision = read_optimal_config(path)["revision"]
    assert revision > 100
    update_optimal_config({"epochs": 7}, path)
    assert read_optimal_config(path)["revision"] == revision + 1


def _kill_writers(path: Path) -> None:
    for i in range(3000):
        child = os.fork()
        if not child:
            _write_for_ever(path)
        time.sleep(0.001 * (i % 20))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        written = read_optimal_config(path)
        assert written["hyperparameters"]["epochs"] >= 1
        if i >= 299 and written["revision"] > 100:  # a slow machine takes more
            break


def _write_for_ever(path: Path) -> None:
    try:
        while True:
            update_config(path, lambda old: {**old, "hyperparameters": {"epochs": old["revision"]}})
    finally:
        os._exit(1)


def _is_killed_at(step: int, path: Path, epochs: int) -> bool:
    child = os.fork()
    if not child:
        steps = iter(range(step - 1))

        def count(event: str, _arguments: object) -> None:
            is_step = event != "os.kill" and event.startswith(("open", "os.", "fcntl.", "tempfile.", "pathlib."))
            if is_step and next(steps, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        save_config(path, {"epochs": epochs})
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def test_what_a_change_raises_is_the_callers_and_nothing_is_written(location: str) -> None:
    save_config(location, _PARAMS)
    with pytest.raises(ZeroDivisionError):
        update_config(location, lambda old: {**old, "seed": 1 // 0})
    assert read_optimal_config(location)["revision"] == 1
    update_config(location, lambda old: old, timeout_s=1)  # and it is not locked


def test_a_symbolic_link_stays_one(tmp_path: Path) -> None:
    save_config(tmp_path / "v1.json", _PARAMS)
    link = tmp_path / "optimal_config.json"
    link.symlink_to("v1.json")
    update_optimal_config({"epochs": 9}, link)
    assert link.is_symlink()
    assert load_config(tmp_path / "v1.json") == {"epochs": 9}
    # and who writes by its own name takes turns with who writes by the link
    threads = [threading.Thread(target=_add, args=(str(each), 15, each.name)) for each in (link, tmp_path / "v1.json")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read_optimal_config(link)["history"]) == 31


def test_a_store_without_exclusive_creation_is_not_written(tmp_path: Path) -> None:
    save_config(tmp_path / "optimal_config.json", _PARAMS)
    url = f"local://{tmp_path}/optimal_config.json"
    assert load_config(url) == _PARAMS
    with pytest.raises(SharedFileError, match=r"can be read, and not be written by several at once"):
        update_optimal_config({"epochs": 9}, url)


def test_permissions_stay_as_they_were_made(tmp_path: Path) -> None:
    path = tmp_path / "optimal_config.json"
    save_config(path, _PARAMS)
    path.chmod(0o660)
    tmp_path.chmod(0o770)
    update_optimal_config({"epochs": 9}, path)
    assert path.stat().st_mode & 0o777 == 0o660
    assert (tmp_path / f".{path.name}.lock").stat().st_mode & 0o777 == 0o660


def test_a_lock_that_its_holder_left_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_file, "_LEFT_S", 0.3)
    location = "memory://left/optimal_config.json"
    fsspec.filesystem("memory").pipe_file("/left/optimal_config.json.lock", b"a dead process")
    save_config(location, _PARAMS)
    assert load_config(location) == _PARAMS
    assert not fsspec.filesystem("memory").exists("/left/optimal_config.json.lock")


@pytest.mark.parametrize("location", ["path", "memory"], indirect=True)
def test_who_waits_too_long_is_told(location: str) -> None:
    save_config(location, _PARAMS)
    inside, leave = threading.Event(), threading.Event()

    def hold(text: str | None) -> str:
        inside.set()
        leave.wait()
        return str(text)

    holder = threading.Thread(target=lambda: open_shared(location).update(hold, 10))
    holder.start()
    inside.wait()
    with pytest.raises(SharedFileError, match=r"others have been writing it for 0\.2 s\. Nothing of yours was written"):
        update_config(location, lambda old: old, timeout_s=0.2)
    leave.set()
    holder.join()


def test_a_writer_without_our_lock_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "optimal_config.json"
    save_config(path, _PARAMS)
    others = iter([{"epochs": 11}])

    def change(old: dict[str, object]) -> dict[str, object]:
        for hyperparameters in others:  # an editor saves just now
            path.write_text(json.dumps({"hyperparameters": hyperparameters}))
        return {**old, "seed": 5}

    update_config(path, change)
    assert load_config(path) == {"epochs": 11}
    assert read_optimal_config(path)["seed"] == 5


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("{folder}/file/optimal_config.json", "must be a file that can be read and written"),
        ("{folder}", "must be a file that can be read and written"),
        ("nonsense://bucket/optimal_config.json", "Protocol not known: nonsense"),
        ("{s3}-that-is-not/optimal_config.json", "must be a file that can be read and written"),
    ],
)
def test_what_cannot_be_reached_is_told(tmp_path: Path, s3: str, location: str, message: str) -> None:
    (tmp_path / "file").touch()
    location = location.format(folder=tmp_path, s3=s3)
    with pytest.raises(SharedFileError, match=message) as refused:
        save_config(location, _PARAMS)
    assert str(refused.value).startswith(location.split("/optimal")[0])
