"""Files and folders on their way to and from object stores: whole or not there."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from stt_tune.errors import StorageError
from stt_tune.transfer import COMPLETE, leave, pull, push, remove
from tests.s3 import running_s3


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    with running_s3() as bucket:
        yield bucket


@pytest.fixture(params=["s3", "memory"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    name = f"{tmp_path.name}/weights"
    return f"{request.getfixturevalue('s3')}/{name}" if request.param == "s3" else f"memory://{name}"


def _write(folder: Path, **files: str) -> Path:
    for name, content in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder


def _read(folder: Path) -> dict[str, str]:
    return {str(each.relative_to(folder)): each.read_text() for each in sorted(folder.rglob("*")) if each.is_file()}


def test_a_folder_comes_back_as_it_was_and_replaces_the_one_before(url: str, tmp_path: Path) -> None:
    push(_write(tmp_path / "a", config="1", parts__one="first", empty=""), url)
    assert pull(url, tmp_path / "b")
    assert _read(tmp_path / "b") == {"config": "1", "parts/one": "first", "empty": ""}
    push(_write(tmp_path / "c", config="2"), url)
    assert pull(url, tmp_path / "b")
    assert _read(tmp_path / "b") == {"config": "2"}
    system, path = fsspec.url_to_fs(url)
    assert sorted(each.rpartition("/")[2] for each in system.find(path)) == [COMPLETE, "config"]


def test_a_file_comes_back(url: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("hello")
    push(tmp_path / "a", url)
    assert pull(url, tmp_path / "there" / "b")
    assert (tmp_path / "there" / "b").read_text() == "hello"
    leave(f"{url}-2", lambda path: path.write_text("other"))
    assert pull(f"{url}-2", tmp_path / "b")
    assert (tmp_path / "b").read_text() == "other"


def test_what_is_not_there_or_not_complete_is_not_pulled(url: str, tmp_path: Path) -> None:
    _write(tmp_path / "b", old="stays")
    assert not pull(url, tmp_path / "b")
    push(_write(tmp_path / "a", config="1"), url)
    system, path = fsspec.url_to_fs(url)
    system.rm_file(f"{path}/{COMPLETE}")
    assert not pull(url, tmp_path / "b")
    assert _read(tmp_path / "b") == {"old": "stays"}


def test_a_folder_takes_no_place_of_a_file_nor_a_file_that_of_a_folder(tmp_path: Path) -> None:
    _write(tmp_path / "a", config="1")
    push(tmp_path / "a", f"memory://{tmp_path.name}/folder")
    push(tmp_path / "a" / "config", f"memory://{tmp_path.name}/file")
    _write(tmp_path / "b", file="old", folder__inside="old")
    before = _read(tmp_path / "b")
    with pytest.raises(NotADirectoryError) as refused:
        pull(f"memory://{tmp_path.name}/folder", tmp_path / "b" / "file")
    assert refused.value.filename == str(tmp_path / "b" / "file")
    with pytest.raises(IsADirectoryError) as refused_file:
        pull(f"memory://{tmp_path.name}/file", tmp_path / "b" / "folder")
    assert refused_file.value.filename == str(tmp_path / "b" / "folder")
    assert _read(tmp_path / "b") == before


def test_what_was_removed_is_not_there(url: str, tmp_path: Path) -> None:
    push(_write(tmp_path / "a", config="1", parts__one="first"), url)
    remove(url)
    remove(url)
    assert not pull(url, tmp_path / "b")


def test_a_reader_gets_one_version_or_another(s3: str, tmp_path: Path) -> None:
    url, done = f"{s3}/{tmp_path.name}", threading.Event()
    versions = [_write(tmp_path / str(i), one=str(i), two=str(i), three=str(i)) for i in range(2)]
    push(versions[0], url)

    def keep_writing() -> None:
        for i in range(6):
            push(versions[i % 2], url)
        done.set()

    writer = threading.Thread(target=keep_writing)
    writer.start()
    while not done.is_set():
        try:
            if pull(url, tmp_path / "read"):
                assert len(set(_read(tmp_path / "read").values())) == 1
        except StorageError as error:
            assert "others keep writing it" in str(error)  # noqa: PT017
    writer.join()
    assert pull(url, tmp_path / "read")


def _push_many(folder: Path, url: str) -> None:
    push(folder, url)


def test_a_killed_upload_leaves_nothing_to_be_pulled(s3: str, tmp_path: Path) -> None:
    url = f"{s3}/{tmp_path.name}/killed"
    folder = _write(tmp_path / "a", **{f"part{i}": "x" * 1000 for i in range(200)})
    writer = multiprocessing.get_context("spawn").Process(target=_push_many, args=(folder, url))
    writer.start()
    system, path = fsspec.url_to_fs(url)
    end = time.monotonic() + 60
    while not system.find(path) and time.monotonic() < end:
        system.invalidate_cache()
    os.kill(writer.pid or 0, signal.SIGKILL)
    writer.join()
    system.invalidate_cache()
    assert 0 < len(system.find(path)) < 200
    assert not pull(url, tmp_path / "b")
    push(folder, url)
    assert pull(url, tmp_path / "b")
    assert len(_read(tmp_path / "b")) == 200


@pytest.mark.parametrize("name", ["{outside}/taken", "../taken", "parts/../../taken", "."])
def test_names_that_lead_out_of_their_folder_are_refused(url: str, tmp_path: Path, name: str) -> None:
    name = name.format(outside=tmp_path)
    system, path = fsspec.url_to_fs(url)
    told = f"{url}: must hold files whose names lie in it, found {name!r}. Nothing of that was fetched; find out who"
    push(_write(tmp_path / "a", config="1"), url)
    system.pipe_file(f"{path}/{name}", b"not ours")
    system.pipe_file(f"{path}/{COMPLETE}", json.dumps({"id": "1", "files": {"config": 1, name: 8}}).encode())
    before = _read(tmp_path)
    with pytest.raises(StorageError, match=re.escape(told)):
        pull(url, tmp_path / "b" / "c")
    with pytest.raises(StorageError, match=re.escape(told)):  # it would delete what is named
        push(tmp_path / "a", url)
    assert _read(tmp_path) == before


def test_storage_that_refuses_is_told(tmp_path: Path) -> None:
    _write(tmp_path / "a", config="1")
    with pytest.raises(StorageError, match=r"gs://bucket/x: needs a library"):
        push(tmp_path / "a", "gs://bucket/x")
    with pytest.raises(FileNotFoundError):
        push(tmp_path / "none", "memory://x")
