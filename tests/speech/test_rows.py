"""Manifests of every kind, and every way in which data can be broken."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import datasets
import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from stt_tune.errors import ManifestError
from stt_tune.speech.kinds import find_kind
from stt_tune.speech.manifest import Rejected, Utterance, read_clip, read_manifest
from stt_tune.speech.normalisers import load_normaliser


def _tone(path: Path, seconds: float = 0.5, *, rate: int = 16_000, channels: int = 1, **options: Any) -> str:
    samples = 0.1 * np.sin(np.arange(round(rate * seconds)) / 10)
    soundfile.write(path, np.stack([samples] * channels, axis=1), rate, **options)
    return path.name


def _read(source: str | Path, **options: Any) -> tuple[list[Utterance], list[Rejected]]:
    return read_manifest(source, max_duration_s=30, normalise=load_normaliser("basic"), **options)


def _summary(utterances: list[Utterance]) -> list[tuple[Any, ...]]:
    return [(each.id, each.text, each.hypothesis, each.speaker, each.split) for each in utterances]


_ROWS = [
    {"audio": "a.wav", "text": "one, two", "hypothesis": "won two", "speaker": "x", "split": "train"},
    {"audio": "b.wav", "text": "drei", "hypothesis": None, "speaker": "y", "split": "dev"},
]
_EXPECTED = [("a.wav", "one, two", "won two", "x", "train"), ("b.wav", "drei", None, "y", "dev")]


def test_csv_tsv_parquet_and_jsonl_say_the_same(tmp_path: Path) -> None:
    for row in _ROWS:
        _tone(tmp_path / str(row["audio"]))
    for name, delimiter in (("rows.csv", ","), ("rows.tsv", "\t")):
        with (tmp_path / name).open("w", newline="") as file:
            writer = csv.DictWriter(file, list(_ROWS[0]), delimiter=delimiter)
            writer.writeheader()
            writer.writerows(_ROWS)
    pq.write_table(pa.Table.from_pylist(_ROWS), tmp_path / "rows.parquet")
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in _ROWS))
    for name in ("rows.csv", "rows.tsv", "rows.parquet", "rows.jsonl"):
        utterances, rejected = _read(tmp_path / name)
        assert not rejected
        assert _summary(utterances) == _EXPECTED


def test_a_list_in_json_is_read_as_rows(tmp_path: Path) -> None:
    for row in _ROWS:
        _tone(tmp_path / str(row["audio"]))
    path = tmp_path / "rows.json"
    for indent, encoding in ((None, "utf-8"), (2, "utf-8-sig")):
        path.write_text("\n" + json.dumps([*_ROWS, ["no row"]], indent=indent), encoding=encoding)
        utterances, (bad,) = _read(path)
        assert _summary(utterances) == _EXPECTED
        assert (bad.line, bad.reason) == (3, "the row must be a JSON object, found list")
    path.write_text(json.dumps(_ROWS)[:-1])
    with pytest.raises(ManifestError, match=r"rows.json: must be a list of rows in JSON, or hold one a line \(Exp"):
        _read(path)
    path.write_text(json.dumps({"rows": _ROWS}, indent=2))
    with pytest.raises(ManifestError, match=r"rows.json: must be a list of rows .*, found an object"):
        _read(path)


@pytest.mark.parametrize("name", ["rows.jsonl.gz", "rows.csv.gz", "rows.json.gz"])
def test_packed_tables_are_read(tmp_path: Path, name: str) -> None:
    _tone(tmp_path / "a.wav")
    text = "audio,text\na.wav,one\n" if "csv" in name else '{"audio": "a.wav", "text": "one"}\n'
    (tmp_path / name).write_bytes(packed := gzip.compress(text.encode()))
    assert [each.text for each in _read(tmp_path / name)[0]] == ["one"]
    for broken in (packed[:-12], packed[:12] + b"\xff" * 20):
        (tmp_path / name).write_bytes(broken)
        with pytest.raises(ManifestError, match=r"the manifest must be a readable"):
            _read(tmp_path / name)


def test_a_data_set_as_the_hub_keeps_it_is_read_from_its_folder(tmp_path: Path) -> None:
    _tone(tmp_path / "a.wav")
    sound = (tmp_path / "a.wav").read_bytes()
    folder = tmp_path / "hub" / "data"
    folder.mkdir(parents=True)
    for part, text in (("train", "one"), ("test", "two")):
        rows = [{"audio": {"bytes": sound, "path": f"{part}.wav"}, "text": text}]
        pq.write_table(pa.Table.from_pylist(rows), folder / f"{part}-00000-of-00001.parquet")
    utterances, rejected = _read(folder.parent)
    assert not rejected
    assert [(each.text, each.split) for each in utterances] == [("one", "train"), ("two", "test")]
    assert [each.text for each in _read(folder.parent, split="test")[0]] == ["two"]
    configs = "".join(f"- config_name: {name}\n  data_files: data/*.parquet\n" for name in ("de", "en"))
    (folder.parent / "README.md").write_text(f"---\nconfigs:\n{configs}---\n")
    for source in (str(folder.parent), f"hf:{folder.parent}"):
        with pytest.raises(
            ManifestError, match=r"found several \(de, en\)\. Save one .*, 'de'\)\.save_to_disk\(FOLDER"
        ):
            _read(source)


def test_columns_are_guessed_and_the_guess_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = {"path": _tone(tmp_path / "a.wav"), "sentence": "one two", "client_id": "x", "age": "forties"}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row))
    ((name, text, _heard, speaker, _split),) = _summary(_read(tmp_path / "rows.jsonl")[0])
    assert (name, text, speaker) == ("a.wav", "one two", "x")
    assert "columns of" in (said := capsys.readouterr().err)
    assert "audio is path, text is sentence, speaker is client_id" in said
    ((_name, text, *_),) = _summary(_read(tmp_path / "rows.jsonl", columns={"text": "age"})[0])
    assert text == "forties"
    with pytest.raises(ManifestError, match=r"--columns words=age,text=none: must be pairs .* has path"):
        _read(tmp_path / "rows.jsonl", columns={"words": "age", "text": "none"})
    (tmp_path / "rows.jsonl").write_text(json.dumps({"path": "a.wav", "words": "one"}))
    with pytest.raises(ManifestError, match=r"text cannot be found among path, words. .*: --columns text=COLUMN"):
        _read(tmp_path / "rows.jsonl")


def test_columns_that_only_the_last_row_has_are_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    soundfile.write(tmp_path / "long.wav", np.repeat(np.arange(1, 11) / 20, 16_000), 16_000)
    rows: list[dict[str, Any]] = [{"audio": "long.wav", "text": f"one {i}", "id": str(i)} for i in range(1200)]
    late = {"heard": "two", "spk": "x", "subset": "test", "offset": 2, "duration": 1, "error_kind": "deletion"}
    rows.append({"audio": "long.wav", "text": "three", "utt_id": "unused", "id": "late", **late})
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    *_others, last = _read(tmp_path / "rows.jsonl", columns={"session": "utt_id"})[0]
    assert (last.hypothesis, last.speaker, last.split, last.error_type) == ("two", "x", "test", "deletion")
    assert (last.id, last.session, last.part, last.duration_s) == ("late", "unused", (2.0, 1.0), 1.0)
    assert "hypothesis is heard, speaker is spk, error_type is error_kind, split is subset" in capsys.readouterr().err


def test_splits_and_kinds_may_be_written_otherwise_and_paths_begin_at_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "data").mkdir()
    rows = [
        {"audio": f"~/{_tone(tmp_path / f'{split}.wav')}", "text": "one", "split": split, "error_type": kind}
        for split, kind in (("training", "Deletion"), ("Testing", " INSERTION "), ("development", "pronunciation"))
    ]
    (tmp_path / "data" / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    utterances, rejected = _read(tmp_path / "data" / "rows.jsonl")
    assert not rejected
    assert [(each.split, each.error_type) for each in utterances] == [
        ("train", "deletion"),
        ("test", "insertion"),
        ("dev", "pronunciation"),
    ]


def test_nothing_heard_is_told_from_not_known(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    heard = ["", None, "  ", "one"]
    rows = [{"audio": _tone(tmp_path / f"{i}.wav"), "text": "one two", "heard": each} for i, each in enumerate(heard)]
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet")
    paths = {"audio": [str(tmp_path / row["audio"]) for row in rows]}
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    datasets.Dataset.from_dict(columns | paths).save_to_disk(str(tmp_path / "saved"))
    for name in ("rows.jsonl", "rows.parquet", "saved"):
        utterances, _ = _read(tmp_path / name)
        assert [each.hypothesis for each in utterances] == ["", None, "", "one"]
        kinds = [find_kind(each, load_normaliser("basic")) for each in utterances]
        assert kinds == ["deletion", None, "deletion", "deletion"]
        assert 'of 4 rows, 2 say that nothing was heard (""), and 1 do not say' in capsys.readouterr().err
    for name, delimiter in (("rows.csv", ","), ("rows.tsv", "\t")):
        with (tmp_path / name).open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
            writer.writeheader()
            writer.writerows(rows)
        capsys.readouterr()
        assert [each.hypothesis for each in _read(tmp_path / name)[0]] == [None, None, None, "one"]
        said = capsys.readouterr().err
        assert f'hypothesis of {tmp_path / name}: of 4 rows, 0 say that nothing was heard (""), and 3 do not' in said


def test_nemos_manifests_name_parts_of_long_files(tmp_path: Path) -> None:
    samples = np.repeat(np.arange(10) / 10, 16_000)
    soundfile.write(tmp_path / "long.wav", samples, 16_000, subtype="FLOAT")
    rows = [
        {"audio_filepath": "long.wav", "offset": 3, "duration": 2.0, "text": "three to five"},
        {"audio_filepath": "long.wav", "offset": 9.5, "duration": 0.9, "text": "the rest"},
        {"audio_filepath": "long.wav", "duration": 10.0, "text": "all of it"},
        {"audio_filepath": "long.wav", "offset": 12, "duration": 1, "text": "beyond"},
        {"audio_filepath": "long.wav", "offset": 9, "duration": 99, "text": "half beyond"},
    ]
    (tmp_path / "nemo.json").write_text("\n".join(json.dumps(row) for row in rows))
    (first, rest, whole), (beyond, half) = _read(tmp_path / "nemo.json")
    assert [each.duration_s for each in (first, rest, whole)] == [2.0, 0.5, 10.0]
    assert np.unique(read_clip(first)) == pytest.approx([0.3, 0.4])
    assert (first.id, whole.id) == ("long.wav@3", "long.wav")
    assert len({first.audio_hash, rest.audio_hash, whole.audio_hash}) == 3
    assert (beyond.line, beyond.reason) == (4, "audio long.wav ends after 10.0 s, before the offset of 12 s")
    assert half.reason == "audio long.wav ends after 10.0 s, before the end of the part, 108.0 s"
    assert half.row == {"audio": "long.wav", "offset_s": 9, "duration_s": 99, "text": "half beyond"}


def test_parts_that_are_named_by_start_and_end_last_until_their_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    soundfile.write(tmp_path / "long.wav", np.repeat(np.arange(1, 11) / 20, 16_000), 16_000)
    parts = [
        ("2.5", "4", ""),
        ("", "3", ""),
        ("7", "", ""),
        ("2.04", "4.1", "2.1"),
        ("4", "3", ""),
        ("1", "9", "2"),
        ("1", "x", ""),
    ]
    lines = [f"long.wav,one,{i},{','.join(part)}" for i, part in enumerate(parts)]
    (tmp_path / "rows.csv").write_text("\n".join(["audio,text,id,start,end,duration", *lines]))
    utterances, rejected = _read(tmp_path / "rows.csv")
    assert "offset_s is start, duration_s is duration, end_s is end" in capsys.readouterr().err
    assert [each.duration_s for each in utterances] == pytest.approx([1.5, 3.0, 3.0, 2.1])
    assert np.unique(read_clip(utterances[0])) == pytest.approx([0.15, 0.2], abs=1e-4)
    assert [bad.reason for bad in rejected] == [
        "end_s must be later than offset_s, found an end of 3 s and an offset of 4 s",
        "duration_s must be that from offset_s to end_s, 8 s, found 2 s. Leave out what is wrong: --columns end_s= "
        "or --columns duration_s=",
        "end_s must be a number of seconds, found 'x'",
    ]
    (one,), _ = _read(tmp_path / "rows.csv", columns={"offset_s": "", "id": ""})
    assert (one.id, one.duration_s) == ("long.wav", 10.0)


def test_a_data_set_and_an_audiofolder_are_read_without_ffmpeg(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "train").mkdir(parents=True)
    (folder / "validation").mkdir()
    for part, name, text in (("train", "a.wav", "one"), ("train", "b.wav", "two"), ("validation", "c.wav", "three")):
        _tone(folder / part / name)
        with (folder / part / "metadata.csv").open("a") as file:
            file.write(("" if file.tell() else "file_name,transcription\n") + f"{name},{text}\n")
    utterances, rejected = _read(folder)
    assert not rejected
    assert [(each.text, each.split) for each in utterances] == [("one", "train"), ("two", "train"), ("three", "dev")]
    (alone,), _ = _read(folder, split="validation")
    assert (alone.text, alone.split) == ("three", None)
    with pytest.raises(ManifestError, match="--split nightly: must be one of train, validation"):
        _read(folder, split="nightly")

    rows = {
        "audio": [{"bytes": (folder / "train" / "a.wav").read_bytes(), "path": None}],
        "text": ["one"],
        "id": ["first"],
    }
    saved = datasets.Dataset.from_dict(rows).cast_column("audio", datasets.Audio(decode=False))
    saved.save_to_disk(str(tmp_path / "saved"))
    (kept,), _ = _read(tmp_path / "saved")
    assert (kept.id, kept.text, kept.split, len(read_clip(kept))) == ("first", "one", None, 8000)
    (tmp_path / "nothing").mkdir()
    with pytest.raises(
        ManifestError, match=r"must hold a metadata.csv or metadata.jsonl, or Parquet of a data set, and does not"
    ):
        _read(tmp_path / "nothing")
    with pytest.raises(ManifestError, match=r"hf:.*: must be a data set that can be loaded, and is not"):
        _read("hf:" + str(tmp_path / "none"))


def _audiofolder(folder: Path, texts: dict[str, str], column: str = "file_name") -> None:
    """A metadata.csv, and its clips in a folder beside it."""
    (folder / "clips").mkdir(parents=True)
    lines = [f"{Path('clips') / _tone(folder / 'clips' / name)},{text}" for name, text in texts.items()]
    (folder / "metadata.csv").write_text("\n".join([f"{column},text", *lines]))


@pytest.mark.parametrize("column", ["file_name", "audio", "path"])
def test_metadata_names_files_beside_it_and_the_last_folder_called_so_is_the_split(tmp_path: Path, column: str) -> None:
    for part, text in (("train", "one"), ("Validation", "two"), ("test", "three")):
        _audiofolder(tmp_path / "data" / part / "en", {"a.wav": text}, column)
    (tmp_path / "data" / "train" / "loop").symlink_to(tmp_path / "data")
    utterances, rejected = _read(tmp_path)
    assert not rejected
    assert {each.text: each.split for each in utterances} == {"one": "train", "two": "dev", "three": "test"}
    assert utterances[2].id == "data/train/en/clips/a.wav"
    assert [each.text for each in _read(tmp_path, split="Validation")[0]] == ["two"]


def test_folders_of_splits_may_be_links(tmp_path: Path) -> None:
    _audiofolder(tmp_path / "set" / "train", {"a.wav": "one"})
    _audiofolder(tmp_path / "elsewhere", {"a.wav": "two"})
    (tmp_path / "set" / "test").symlink_to(tmp_path / "elsewhere")
    utterances, rejected = _read(tmp_path / "set")
    assert not rejected
    assert [(each.text, each.split) for each in utterances] == [("two", "test"), ("one", "train")]


def test_metadata_may_name_urls_and_whole_paths(tmp_path: Path) -> None:
    _audiofolder(tmp_path / "set" / "train", {"a.wav": "one"})
    whole = tmp_path / _tone(tmp_path / "b.wav")
    url = f"memory://{tmp_path.name}/c.wav"
    system, path = fsspec.url_to_fs(url)
    system.pipe_file(path, whole.read_bytes())
    with (tmp_path / "set" / "train" / "metadata.csv").open("a") as file:
        file.write(f"\n{whole},two\nfile://{whole},three\n{url},four\n")
    utterances, rejected = _read(tmp_path / "set", columns={"id": "text", "text": "text"})
    assert not rejected
    assert [each.clip.name for each in utterances] == ["train/clips/a.wav", str(whole), str(whole), url]


def test_every_broken_row_is_told_and_the_rest_is_read(tmp_path: Path) -> None:
    good = _tone(tmp_path / "good.flac")
    whole = (tmp_path / "good.flac").read_bytes()
    (tmp_path / "cut.flac").write_bytes(whole[: len(whole) // 2])
    soundfile.write(tmp_path / "zero.wav", np.zeros(0), 16_000)
    soundfile.write(tmp_path / "nan.wav", np.full(100, np.nan), 16_000, subtype="FLOAT")
    (tmp_path / "wrong.mp3").write_bytes(whole)
    (tmp_path / "folder.wav").mkdir()
    (tmp_path / "loop.wav").symlink_to(tmp_path / "loop.wav")
    (tmp_path / "text.wav").write_text("this is no sound")
    soundfile.write(tmp_path / "long.wav", np.zeros(31 * 8000), 8000)
    rows: list[tuple[Any, str | None]] = [
        ({"audio": good, "text": "good"}, None),
        ({"audio": "cut.flac", "text": "cut"}, "audio cut.flac "),
        ({"audio": "zero.wav", "text": "zero"}, "audio zero.wav holds no samples"),
        ({"audio": "nan.wav", "text": "nan"}, "audio nan.wav holds samples that are not numbers"),
        ({"audio": _tone(tmp_path / "eight.wav", subtype="PCM_U8"), "text": "8 bit"}, None),
        ({"audio": _tone(tmp_path / "fast.wav", rate=96_000), "text": "96 kHz"}, None),
        ({"audio": _tone(tmp_path / "seven.wav", channels=7), "text": "7 channels"}, None),
        ({"audio": "wrong.mp3", "text": "a wrong extension"}, None),
        ({"audio": good, "text": "with\ta tab", "id": "tab"}, None),
        ({"audio": "folder.wav", "text": "a folder"}, "audio folder.wav is no file"),
        ({"audio": "loop.wav", "text": "a loop"}, "audio loop.wav is no file"),
        ({"audio": "text.wav", "text": "text"}, "audio text.wav cannot be decoded"),
        ({"audio": "long.wav", "text": "long"}, "audio long.wav lasts 31.0 s, clips may last 30 s at most. Cut it"),
        ({"audio": good, "text": "again", "id": "tab"}, "the id tab was used before, in line 9"),
        (b'{"audio": "good.flac", "text": "caf\xe9"}', "the line must be JSON in UTF-8"),
        ({"audio": good, "text": "x" * 10_000_000}, "the line must be shorter than 1 MB, found 10.0 MB"),
        ({"audio": 7, "text": "number"}, "audio must be a string, found 7"),
        ({"audio": good, "text": "later", "offset": "soon"}, "offset_s must be a number of seconds, found 'soon'"),
        (b"[" * 100_000, "the line must be JSON in UTF-8"),
    ]
    lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row, _ in rows]
    (tmp_path / "rows.jsonl").write_bytes(b"\n".join(lines))
    utterances, rejected = _read(tmp_path / "rows.jsonl")
    expected = [(i, reason) for i, (_, reason) in enumerate(rows, start=1) if reason]
    assert [bad.line for bad in rejected] == [line for line, _ in expected]
    for bad, (_, reason) in zip(rejected, expected, strict=True):
        assert bad.reason.startswith(reason)
    assert len(utterances) == len(rows) - len(expected)
    assert all(len(read_clip(each)) == pytest.approx(8000, abs=1) for each in utterances)


def test_broken_csv_is_told_by_line(tmp_path: Path) -> None:
    good = _tone(tmp_path / "a.wav")
    lines = [
        b"audio,text,id",
        f"{good},one,1".encode(),
        f"{good},caf\xe9,2".encode("latin-1"),
        b"a.wav,one,3,four",
        b"a.wav",
    ]
    (tmp_path / "rows.csv").write_bytes(b"\n".join(lines))
    utterances, rejected = _read(tmp_path / "rows.csv")
    assert [each.id for each in utterances] == ["1"]
    assert [(each.line, each.reason) for each in rejected] == [
        (3, "the line must be UTF-8"),
        (4, "the line must have 3 fields, as the first has"),
        (5, "the line must have 3 fields, as the first has"),
    ]
    (tmp_path / "rows.parquet").write_bytes(b"no parquet")
    with pytest.raises(ManifestError, match="must be a readable Parquet file"):
        _read(tmp_path / "rows.parquet")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", ", "])
def test_a_csv_may_be_as_excel_writes_it_anywhere(tmp_path: Path, delimiter: str, encoding: str) -> None:
    rows = [
        ("audio", "text", "id"),
        (_tone(tmp_path / "ä.wav"), '"yes, no; ""or""\tso 😀"', "x"),
        ("ä.wav", " ja ", "y "),
    ]
    (tmp_path / "rows.csv").write_text("\r\n".join(delimiter.join(row) for row in rows), encoding=encoding)
    utterances, rejected = _read(tmp_path / "rows.csv")
    assert not rejected
    assert [(each.text, each.id) for each in utterances] == [('yes, no; "or"\tso 😀', "x"), ("ja", "y")]


def test_a_csv_in_utf_16_that_is_cut_is_told(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_bytes("audio,text\na.wav,one".encode("utf-16")[:-1])
    with pytest.raises(ManifestError, match=r"rows.csv:1: the manifest must be a readable CSV file .*truncated"):
        _read(tmp_path / "rows.csv")


def test_quotation_marks_mean_nothing_between_tabs(tmp_path: Path) -> None:
    for name in ("a.wav", "b.wav", "c.wav"):
        _tone(tmp_path / name)
    lines = ["path\tsentence", 'a.wav\t"Yes she said', "b.wav\tplain", 'c.wav\t"Yes," she said.']
    (tmp_path / "rows.tsv").write_text("\n".join(lines))
    utterances, rejected = _read(tmp_path / "rows.tsv")
    assert not rejected
    assert [each.text for each in utterances] == ['"Yes she said', "plain", '"Yes," she said.']
    (tmp_path / "rows.csv").write_text('path,sentence\na.wav,fine\nb.wav,"no" end\n')
    with pytest.raises(ManifestError, match=r"rows.csv:3: the manifest must be a readable CSV file"):
        _read(tmp_path / "rows.csv")


def test_numbers_may_be_names_and_a_guess_can_be_taken_back(tmp_path: Path) -> None:
    row = {"audio": _tone(tmp_path / "a.wav"), "text": "one", "id": 7, "speaker_id": 6930, "subset": "other"}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row))
    _, (bad,) = _read(tmp_path / "rows.jsonl")
    assert bad.reason == "split must be one of train, dev, test, found 'other'"
    (utterance,), _ = _read(tmp_path / "rows.jsonl", columns={"split": ""})
    assert (utterance.id, utterance.speaker, utterance.split) == ("7", "6930", None)
    with pytest.raises(ManifestError, match=r"--split train: is for data sets and folders, and .* is a file"):
        _read(tmp_path / "rows.jsonl", split="train")


def test_splits_of_a_data_set_may_call_their_clips_alike(tmp_path: Path) -> None:
    _tone(tmp_path / "a.wav")
    made = datasets.Dataset.from_dict(
        {"audio": [{"bytes": (tmp_path / "a.wav").read_bytes(), "path": "0.wav"}], "text": ["one"]}
    ).cast_column("audio", datasets.Audio(decode=False))
    made.to_parquet(str(tmp_path / "rows.parquet"))
    (inside,), _ = _read(tmp_path / "rows.parquet")
    assert (inside.id, inside.duration_s, len(read_clip(inside))) == ("1-0.wav", 0.5, 8000)
    datasets.DatasetDict({"train": made, "test": made}).save_to_disk(str(tmp_path / "saved"))
    utterances, rejected = _read(tmp_path / "saved")
    assert not rejected
    assert [(each.id, each.split) for each in utterances] == [("1-0.wav", "train"), ("2-0.wav", "test")]


def test_audio_may_be_bytes_in_a_table_whatever_its_path_is(tmp_path: Path) -> None:
    _tone(tmp_path / "a.wav")
    sound = (tmp_path / "a.wav").read_bytes()
    folder = tmp_path / "a[1]*?"
    folder.mkdir()
    columns = {"raw": [sound, sound], "audio": [{"bytes": sound, "path": "0.wav"}] * 2, "text": ["one", "two"]}
    pq.write_table(
        pa.table({"audio": pa.array(columns["raw"], pa.binary()), "text": columns["text"]}), folder / "a.parquet"
    )
    pq.write_table(pa.table({"audio": columns["audio"], "text": columns["text"]}), folder / "b[2].parquet")
    for name, ids in (("a.parquet", ["1-", "2-"]), ("b[2].parquet", ["1-0.wav", "2-0.wav"])):
        utterances, rejected = _read(folder / name)
        assert not rejected
        assert [each.id for each in utterances] == ids
        assert [len(read_clip(each)) for each in utterances] == [8000, 8000]


def test_what_is_no_audio_is_not_told_whole(tmp_path: Path) -> None:
    samples = {"array": [0.1] * 10_000, "sampling_rate": 16_000}
    _tone(tmp_path / "a.wav")
    pq.write_table(pa.table({"audio": [samples], "text": ["one"]}), tmp_path / "samples.parquet")
    _, (bad,) = _read(tmp_path / "samples.parquet")
    assert bad.reason.startswith("audio must be a string, found {'array': [0.1, ")
    assert len(bad.reason) < 200
    sounds = pa.array([(tmp_path / "a.wav").read_bytes()], pa.binary())
    pq.write_table(pa.table({"audio": ["a.wav"], "text": sounds}), tmp_path / "bytes.parquet")
    _, (bad,) = _read(tmp_path / "bytes.parquet")
    assert bad.reason.startswith("text must be a string, found ")
    assert max(len(bad.reason), len(bad.to_json())) < 1000


def test_offsets_are_told_apart_to_the_last_digit(tmp_path: Path) -> None:
    _tone(tmp_path / "a.wav", 2.0)
    rows = [{"audio": "a.wav", "text": "one", "offset": offset, "duration": 0.5} for offset in (1.0000001, 1.0000002)]
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    assert [each.id for each in _read(tmp_path / "rows.jsonl")[0]] == ["a.wav@1.0000001", "a.wav@1.0000002"]
