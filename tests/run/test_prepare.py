"""`stt-tune prepare`: what it prints, what it writes, and that a sweep can be run on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import soundfile

from stt_tune.errors import ManifestError, SettingsError
from stt_tune.run.prepare import prepare_data
from stt_tune.run.profile import profile_data
from stt_tune.speech.manifest import read_clip, read_manifest
from stt_tune.speech.normalisers import load_normaliser

_TEXTS = ("one two three", "four five six", "seven eight", "nine", "zero one", "two three four", "five", "six seven")
_HEARD = ("one too three", "four five", "seven eight now", "pine", "zero one", None, "dog", None)


def _write(folder: Path, rows: list[dict[str, Any]]) -> Path:
    for i, row in enumerate(rows):
        soundfile.write(folder / f"{i}.wav", np.random.default_rng(i).normal(0, 0.1, 8000 * (1 + i)), 16_000)
        row.setdefault("audio", f"{i}.wav")
    path = folder / "manifest.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


def _rows() -> list[dict[str, Any]]:
    return [{"text": text, "hypothesis": heard} for text, heard in zip(_TEXTS, _HEARD, strict=True)]


def test_what_is_found_is_reported_and_written(tmp_path: Path) -> None:
    source = _write(tmp_path, [*_rows(), {"text": "ONE TWO THREE!", "speaker": "x"}])
    report = prepare_data(str(source), tmp_path / "out")
    assert (report.utterances, report.shortest_s, report.median_s, report.longest_s) == (9, 0.5, 2.5, 4.5)
    assert report.hours == pytest.approx(22.5 / 3600)
    assert report.kinds == {
        "substitution": 1,
        "deletion": 1,
        "insertion": 1,
        "pronunciation": 2,
        "none": 1,
        "unknown": 3,
    }
    assert (report.same_audio, report.near_duplicates, report.speakers, report.rejected) == (0, 1, 1, 0)
    assert sum(report.splits.values()) == 9
    assert "9 utterances, 0.01 hours; clips of 0.5 to 4.5 s, median 2.5" in report.describe()
    assert sum(report.split_speakers.values()) == 1
    (split,) = (name for name, count in report.split_speakers.items() if count)
    assert f"{report.splits[split]} {split} (1 speaker)" in report.describe()[2]
    assert any(line.startswith("test is small: with its ") for line in report.describe())
    again, rejected = read_manifest(
        tmp_path / "out" / "manifest.jsonl", max_duration_s=30, normalise=load_normaliser("basic")
    )
    assert not rejected
    assert {each.split for each in again} == {"train", "dev", "test"}
    assert [each.error_type for each in again[:4]] == ["pronunciation", "deletion", "insertion", "pronunciation"]
    assert prepare_data(str(tmp_path / "out" / "manifest.jsonl"), tmp_path / "twice").data_hash == report.data_hash


def test_nothing_heard_stays_so_in_the_manifest_and_counts_in_the_profile(tmp_path: Path) -> None:
    rows = [{"text": text, "hypothesis": "" if i % 2 else text} for i, text in enumerate(_TEXTS)]
    report = prepare_data(str(_write(tmp_path, rows)), tmp_path / "out")
    assert (report.kinds["deletion"], report.kinds["none"], report.kinds["unknown"]) == (4, 4, 0)
    prepared = [json.loads(line) for line in (tmp_path / "out" / "manifest.jsonl").read_text().splitlines()]
    assert [(row["hypothesis"], row.get("error_type")) for row in prepared[:2]] == [(_TEXTS[0], None), ("", "deletion")]
    normalise = load_normaliser("basic")
    utterances, _ = read_manifest(tmp_path / "out" / "manifest.jsonl", max_duration_s=30, normalise=normalise)
    profile = profile_data(utterances, normalise)
    assert (profile["base"]["mean"], profile["error_types"]["deletion"]) == (0.5, 4)


def test_bad_rows_stop_it_or_are_set_aside(tmp_path: Path) -> None:
    source = _write(tmp_path, [*_rows(), {"text": "gone", "audio": "gone.wav"}])
    told = f"{source}:9: audio gone.wav is no file\nMend these rows, or set them aside with --skip-bad."
    with pytest.raises(ManifestError, match=told):
        prepare_data(str(source), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert prepare_data(str(source), tmp_path / "out", skip_bad=True).rejected == 1
    (bad,) = (json.loads(line) for line in (tmp_path / "out" / "rejected.jsonl").read_text().splitlines())
    row = {"audio": "gone.wav", "text": "gone"}
    assert bad == {"line": 9, "reason": "audio gone.wav is no file", "row": row}
    prepare_data(str(_write(tmp_path, _rows())), tmp_path / "out")
    assert not (tmp_path / "out" / "rejected.jsonl").exists()
    only_bad = _write(tmp_path, [row])
    for skip_bad in (True, False):
        with pytest.raises(
            ManifestError, match=f"{only_bad}:1: audio gone.wav is no file\nNo row is good. Mend them.$"
        ):
            prepare_data(str(only_bad), tmp_path / "none", skip_bad=skip_bad)


def test_halves_of_characters_are_told_and_set_aside(tmp_path: Path) -> None:
    halved: list[dict[str, Any]] = [
        {"text": "hello \ud83d world"},
        {"text": "one", "id": "\ude00"},
        {"text": "one", "speaker": "x\ud83d"},
        {"text": "one", "hypothesis": "\ud83d"},
        {"text": "one", "audio": "s3://bucket/\ud83d.wav"},
        {"text": "one", "audio": "\ud83d.wav"},
    ]
    source = _write(tmp_path, [*_rows(), {"text": "a whole \U0001f600"}, *halved])
    with pytest.raises(ManifestError) as caught:
        prepare_data(str(source), tmp_path / "out")
    told = str(caught.value).splitlines()[:-1]
    for line, name in zip(told, ("text", "id", "speaker", "hypothesis", "audio", "audio"), strict=True):
        assert f"{name} must hold whole characters, found half of one" in line
    assert told[0].startswith(f"{source}:10: ")
    assert told[0].endswith(r"'hello \ud83d world'")
    assert prepare_data(str(source), tmp_path / "out", skip_bad=True).rejected == len(halved)
    rejected = (tmp_path / "out" / "rejected.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["row"]["text"] for line in rejected] == [row["text"] for row in halved]


def test_the_same_audio_in_two_splits_is_refused_or_left_out(tmp_path: Path) -> None:
    splits = ["train"] * 4 + ["dev"] * 2 + ["test"] * 2
    rows = [{**row, "split": split, "id": str(i)} for i, (row, split) in enumerate(zip(_rows(), splits, strict=True))]
    rows.append({**rows[7], "split": "train", "id": "copy", "audio": "7.wav"})
    rows.append({**rows[5], "id": "the same split", "audio": "5.wav"})
    source = _write(tmp_path, rows)
    with pytest.raises(
        ManifestError, match=r"must not be in two splits, and 1 utterances are: copy \(train\) is 7 \(test\)"
    ):
        prepare_data(str(source), tmp_path / "out")
    report = prepare_data(str(source), tmp_path / "out", skip_bad=True)
    assert (report.utterances, report.splits["train"], report.splits["test"]) == (9, 4, 2)


def test_audio_inside_a_data_set_becomes_files(tmp_path: Path) -> None:
    _write(tmp_path, _rows())
    audio = [{"bytes": (tmp_path / f"{i}.wav").read_bytes(), "path": f"{i}.wav"} for i in range(8)]
    made = datasets.Dataset.from_dict({"audio": audio, "text": list(_TEXTS)})
    made.cast_column("audio", datasets.Audio(decode=False)).save_to_disk(str(tmp_path / "saved"))
    report = prepare_data(str(tmp_path / "saved"), tmp_path / "out")
    assert len(list((tmp_path / "out" / "audio").glob("*.wav"))) == 8
    assert prepare_data(str(tmp_path / "out" / "manifest.jsonl"), tmp_path / "twice").hours == report.hours


def test_a_cache_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = _write(tmp_path, _rows())
    (tmp_path / "cache").write_text("a file in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(SettingsError, match=r"must be a file that can be written \(.*\)\. Make room, or name another"):
        prepare_data(str(source), tmp_path / "out")


def test_audio_that_is_gone_since_it_was_checked_is_told(tmp_path: Path) -> None:
    source = _write(tmp_path, _rows())
    (utterance, *_others), _ = read_manifest(source, max_duration_s=30, normalise=load_normaliser("basic"))
    (tmp_path / "0.wav").unlink()
    with pytest.raises(ManifestError, match=r"audio 0.wav was sound when it was checked, and now is no file"):
        read_clip(utterance)


def test_a_manifest_of_ones_own_is_not_written_over(tmp_path: Path) -> None:
    source = _write(tmp_path, _rows())
    before = source.read_bytes()
    with pytest.raises(SettingsError, match=r"must not hold a manifest.jsonl of your own, which would be written over"):
        prepare_data(str(source), tmp_path)
    assert source.read_bytes() == before
    prepare_data(str(source), tmp_path / "out")
    prepare_data(str(source), tmp_path / "out")
