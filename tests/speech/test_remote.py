"""Data behind URLs: fetched once, told as local data are, the same in every cache."""

from __future__ import annotations

import functools
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import fsspec
import numpy as np
import pytest
import soundfile

from stt_tune.errors import ManifestError, SettingsError, StorageError
from stt_tune.run.prepare import prepare_data
from stt_tune.speech.manifest import Utterance, hash_data, read_manifest, read_sound
from stt_tune.speech.normalisers import load_normaliser
from tests.s3 import running_s3


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    with running_s3() as bucket:
        yield bucket


@pytest.fixture
def own_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "own-cache"))
    return tmp_path / "own-cache"


@pytest.fixture(params=["s3", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, own_cache_folder: Path) -> str:
    """The URL of a folder with a manifest of eight clips; a ninth file is beside it."""
    local = _write(tmp_path / "speech")
    url = f"{request.getfixturevalue('s3')}/{tmp_path.name}" if request.param == "s3" else f"memory://{tmp_path.name}"
    system, path = fsspec.url_to_fs(url)
    system.put(f"{local}/", path, recursive=True)
    return url


def _write(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    (folder / "clips").mkdir(parents=True)
    texts = ("one two", "seven", "four six", "two", "eight nine", "three", "six", "nine")
    for i in range(9):
        soundfile.write(folder / "clips" / f"{i}.wav", rng.normal(0, 0.1, 16_000), 16_000)
    splits = ("train", "train", "train", "train", "dev", "dev", "test", "test")
    rows = [{"audio": f"clips/{i}.wav", "text": text, "split": splits[i]} for i, text in enumerate(texts)]
    (folder / "manifest.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


def _read(source: str, **reading: Any) -> list[Utterance]:
    utterances, _rejected = read_sound(
        source, skip_bad=False, max_duration_s=30, normalise=load_normaliser("basic"), **reading
    )
    return utterances


def _put(url: str, content: bytes) -> None:
    system, path = fsspec.url_to_fs(url)
    system.pipe_file(path, content)


class _Counted:
    """How many files the storage behind a URL was asked to send."""

    def __init__(self, url: str, patch: pytest.MonkeyPatch) -> None:
        self.sent: list[str] = []
        system, _path = fsspec.url_to_fs(url)
        get = system.get_file

        def counted(path: str, *arguments: Any, **options: Any) -> None:
            self.sent.append(path.rpartition("/")[2])
            get(path, *arguments, **options)

        patch.setattr(system, "get_file", counted)


def test_data_behind_a_url_are_those_of_a_disk_wherever_the_cache_lies(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = hash_data(_read(str(tmp_path / "speech" / "manifest.jsonl")))
    assert hash_data(_read(f"file://{tmp_path}/speech/manifest.jsonl")) == local
    assert hash_data(_read(f"{folder}/manifest.jsonl")) == local
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another"))
    assert hash_data(_read(f"{folder}/manifest.jsonl")) == local


def test_what_has_not_changed_is_not_fetched_again(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = _Counted(folder, monkeypatch)
    before = _read(f"{folder}/manifest.jsonl")
    assert sorted(counted.sent) == [*(f"{i}.wav" for i in range(8)), "manifest.jsonl"]
    counted.sent.clear()
    assert _read(f"{folder}/manifest.jsonl") == before
    assert counted.sent == []
    system, path = fsspec.url_to_fs(folder)
    _put(f"{folder}/clips/3.wav", system.cat_file(f"{path}/clips/8.wav"))
    after = _read(f"{folder}/manifest.jsonl")
    assert counted.sent == ["3.wav"]
    assert [one.id for one, other in zip(before, after, strict=True) if one.audio_hash != other.audio_hash] == [
        "clips/3.wav"
    ]


def test_files_that_are_called_out_of_their_folder_are_refused(folder: str, own_cache_folder: Path) -> None:
    _put(f"{folder}/../taken/metadata.csv", b"file_name,text\n")
    with pytest.raises(StorageError, match=f"{folder}: must hold files whose names lie in it, found '../taken/met"):
        _read(folder)
    assert not own_cache_folder.exists()


def test_audio_is_named_relative_to_the_manifest_or_by_path_or_url(folder: str, tmp_path: Path) -> None:
    names = ["../clips/0.wav", f"{folder}/clips/1.wav", str(tmp_path / "speech" / "clips" / "2.wav")]
    lines = [json.dumps({"audio": name, "text": "two"}) for name in names]
    _put(f"{folder}/lists/some.jsonl", "\n".join(lines).encode())
    (tmp_path / "here.jsonl").write_text("\n".join(lines[1:]))
    expected = [each.audio_hash for each in _read(f"{folder}/manifest.jsonl")[:3]]
    assert [each.audio_hash for each in _read(f"{folder}/lists/some.jsonl")] == expected
    assert [each.audio_hash for each in _read(str(tmp_path / "here.jsonl"))] == expected[1:]


def test_bad_rows_are_told_by_their_line_in_the_url(folder: str) -> None:
    rows = ['{"audio": "clips/0.wav", "text": "one"}', '{"audio": "clips/none.wav", "text": "two"}', "no JSON"]
    _put(f"{folder}/bad.jsonl", "\n".join([*rows, '{"audio": "clips", "text": "six"}']).encode())
    with pytest.raises(ManifestError) as caught:
        _read(f"{folder}/bad.jsonl")
    second, third, fourth, _advice = str(caught.value).splitlines()
    assert second == f"{folder}/bad.jsonl:2: audio clips/none.wav is no file"
    assert third.startswith(f"{folder}/bad.jsonl:3: the line must be JSON")
    assert fourth == f"{folder}/bad.jsonl:4: audio clips is no file"


@pytest.mark.parametrize("name", ["none.jsonl", "none/none.csv"])
def test_a_manifest_that_is_not_there_is_told(folder: str, name: str) -> None:
    with pytest.raises(ManifestError, match=f"{folder}/{name}: the manifest must be there, and is not. Check --data"):
        _read(f"{folder}/{name}")


def test_a_table_that_is_damaged_is_told_by_its_url(folder: str) -> None:
    _put(f"{folder}/bad.parquet", b"no Parquet")
    with pytest.raises(ManifestError, match=f"{folder}/bad.parquet: the manifest must be a readable Parquet file"):
        _read(f"{folder}/bad.parquet")


def test_a_folder_with_metadata_is_read(folder: str) -> None:
    for split, text in (("train", "one"), ("test", "two")):
        _put(f"{folder}/set/{split}/metadata.csv", f"file_name,text\n../../clips/0.wav,{text}\n".encode())
    found = _read(f"{folder}/set")
    assert [(each.text, each.split) for each in found] == [("two", "test"), ("one", "train")]
    assert found[0].audio_hash == _read(f"{folder}/manifest.jsonl")[0].audio_hash
    assert [each.text for each in _read(f"{folder}/set", split="test")] == ["two"]
    _put(f"{folder}/empty/notes.txt", b"")
    with pytest.raises(ManifestError, match=f"{folder}/empty: must hold a metadata.csv"):
        _read(f"{folder}/empty")


def test_a_saved_data_set_is_read(folder: str, tmp_path: Path) -> None:
    rows = {"audio": [str(tmp_path / "speech" / "clips" / f"{i}.wav") for i in range(2)], "text": ["one", "two"]}
    datasets.Dataset.from_dict(rows).save_to_disk(tmp_path / "saved")
    system, path = fsspec.url_to_fs(f"{folder}/saved")
    system.put(f"{tmp_path}/saved/", path, recursive=True)
    assert [each.text for each in _read(f"{folder}/saved")] == ["one", "two"]


def test_a_prepared_manifest_names_audio_by_its_url(folder: str, tmp_path: Path) -> None:
    report = prepare_data(f"{folder}/manifest.jsonl", tmp_path / "out")
    (first, *_others) = (tmp_path / "out" / "manifest.jsonl").read_text().splitlines()
    assert json.loads(first)["audio"] == f"{folder}/clips/0.wav"
    assert hash_data(_read(str(tmp_path / "out" / "manifest.jsonl"))) == report.data_hash


@pytest.fixture
def web(tmp_path: Path, own_cache_folder: Path) -> Iterator[str]:
    """A web server of a folder with a manifest of eight clips, that heeds no query but `get?file=NAME`."""
    folder = _write(tmp_path / "speech")

    class Files(http.server.SimpleHTTPRequestHandler):
        def translate_path(self, path: str) -> str:
            return super().translate_path(path.replace("/get?file=", "/"))

        def log_message(self, *_arguments: Any) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Files, directory=folder)) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_audio_is_fetched_by_signed_urls_and_by_names_in_queries(web: str, tmp_path: Path) -> None:
    signature = f"?X-Amz-Credential=a%2Fb&X-Amz-Signature={'f' * 400}#clip"
    names = [f"{web}/clips/0.wav{signature}", f"{web}/get?file=clips/1.wav", f"{web}/get?file=clips/2.wav"]
    (tmp_path / "here.jsonl").write_text("\n".join(json.dumps({"audio": name, "text": "two"}) for name in names))
    expected = [each.audio_hash for each in _read(f"{web}/manifest.jsonl")[:3]]
    assert [each.audio_hash for each in _read(str(tmp_path / "here.jsonl"))] == expected


@pytest.mark.parametrize("name", ["rows.csv?dl=1", "rows.csv?signature=a/b.c", "get?file=rows.csv"])
def test_a_query_does_not_hide_what_a_manifest_is(web: str, name: str, tmp_path: Path) -> None:
    (tmp_path / "speech" / "rows.csv").write_text("audio,text\nclips/0.wav,two\n")
    assert [each.text for each in _read(f"{web}/{name}")] == ["two"]


def test_storage_that_cannot_be_used_is_told(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StorageError, match=r"gs://bucket/a.jsonl: needs a library .*stt-tune\[gcs\]"):
        _read("gs://bucket/a.jsonl")
    with pytest.raises(StorageError, match=r"nonsense://a.jsonl: must be a URL such as s3:// or gs://"):
        _read("nonsense://a.jsonl")
    fsspec.filesystem("s3").clear_instance_cache()
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(StorageError, match=r"and is not \(Unable to locate credentials\)\. Check .* credentials"):
        _read(f"{s3}/a.jsonl")
    fsspec.filesystem("s3").clear_instance_cache()  # it has none to the end of its days


def _deny_audio(monkeypatch: pytest.MonkeyPatch, error: OSError) -> None:
    """Let storage in memory raise an error for whatever is audio."""
    system = fsspec.filesystem("memory")
    info = system.info

    def deny(path: str) -> Any:
        if path.endswith(".wav"):
            raise error
        return info(path)

    monkeypatch.setattr(system, "info", deny)


def test_storage_that_does_not_answer_ends_it_all_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it goes away after the manifest."""
    _put(f"memory://{tmp_path.name}/a.jsonl", b'{"audio": "a.wav", "text": "one"}\n{"audio": "b.wav", "text": "two"}')
    _deny_audio(monkeypatch, ConnectionError("Could not connect"))
    with pytest.raises(StorageError, match=r"/a.wav: must be storage that can be reached, and is not \(Could not conn"):
        read_manifest(f"memory://{tmp_path.name}/a.jsonl", max_duration_s=30, normalise=load_normaliser("basic"))


def test_a_row_whose_audio_may_not_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _put(f"memory://{tmp_path.name}/a.jsonl", b'{"audio": "a.wav", "text": "one"}')
    _deny_audio(monkeypatch, PermissionError("Forbidden"))
    with pytest.raises(ManifestError, match=r"a.jsonl:1: audio a.wav cannot be fetched \(Forbidden\)"):
        _read(f"memory://{tmp_path.name}/a.jsonl")


def test_what_comes_cut_off_is_not_kept(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    system, _path = fsspec.url_to_fs(folder)

    def cut(_path: str, to: str, **_options: Any) -> None:
        Path(to).write_bytes(b"{}")

    with monkeypatch.context() as patch:
        patch.setattr(system, "get_file", cut)
        with pytest.raises(StorageError, match=r"and is not \(2 bytes came, \d+ were announced\)"):
            _read(f"{folder}/manifest.jsonl")
    assert len(_read(f"{folder}/manifest.jsonl")) == 8


def test_a_cache_that_cannot_be_written_is_told(folder: str, tmp_path: Path) -> None:
    (tmp_path / "own-cache").write_text("no folder")
    with pytest.raises(
        SettingsError, match=r"must be a file that can be written .* that of the cache is XDG_CACHE_HOME"
    ):
        prepare_data(f"{folder}/manifest.jsonl", tmp_path / "out")
