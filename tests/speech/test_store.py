"""What is prepared once is kept, shared, and survives a kill."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stt_tune.speech import inspection, store
from stt_tune.speech.inspection import cache_folder
from stt_tune.speech.manifest import Utterance, read_manifest
from stt_tune.speech.normalisers import load_normaliser


class _Computer:
    def __init__(self, fails_at: int | None = None) -> None:
        self.computed: list[int] = []
        self._fails_at = fails_at

    def __call__(self, place: int) -> np.ndarray:
        if place == self._fails_at:
            raise KeyboardInterrupt
        self.computed.append(place)
        return np.full((2, place + 1), place, np.float32)


def test_features_are_computed_once_and_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_SHARD_CLIPS", 4)
    hashes, durations = [f"h{i}" for i in range(10)], [1.0] * 10
    first = _Computer()
    arrays = store.load_features(tmp_path, "mel", hashes, durations, first)
    assert sorted(first.computed) == list(range(10))
    assert len(list(tmp_path.glob("*.arrow"))) == 3
    for i, array in enumerate(arrays):
        assert (array.shape, array.dtype, set(array.ravel())) == ((2, i + 1), np.float32, {float(i)})
        assert not array.flags.writeable
        assert not array.flags.owndata
    again = _Computer()
    store.load_features(tmp_path, "mel", hashes, durations, again)
    assert again.computed == []
    more = _Computer()
    store.load_features(tmp_path, "mel", [*hashes, "h10"], [*durations, 1.0], more)
    assert sorted(more.computed) == [8, 9, 10]  # the last file, which holds one more now
    other = _Computer()
    store.load_features(tmp_path, "another mel", hashes, durations, other)
    assert len(other.computed) == 10


def test_preparing_goes_on_where_it_was_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_SHARD_CLIPS", 4)
    hashes, durations = [f"h{i}" for i in range(10)], [1.0] * 10
    with pytest.raises(KeyboardInterrupt):
        store.load_features(tmp_path, "mel", hashes, durations, _Computer(fails_at=6))
    assert len(list(tmp_path.iterdir())) == 1
    rest = _Computer()
    assert len(store.load_features(tmp_path, "mel", hashes, durations, rest)) == 10
    assert sorted(rest.computed) == list(range(4, 10))


def test_no_file_of_the_store_holds_more_than_half_an_hour() -> None:
    assert store._divide([]) == []
    assert [len(each) for each in store._divide([60.0] * 70)] == [30, 30, 10]
    assert [len(each) for each in store._divide([4000.0, 1.0, 1.0])] == [1, 2]
    assert [len(each) for each in store._divide([1.0] * 1000)] == [512, 488]


def _read(path: Path) -> list[Utterance]:
    return read_manifest(path, max_duration_s=30, normalise=load_normaliser("basic"))[0]


def test_a_clip_is_decoded_again_only_when_its_file_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(3):
        soundfile.write(tmp_path / f"{i}.wav", np.full(1600, (i + 1) / 10), 16_000)
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_text("\n".join(json.dumps({"audio": f"{i}.wav", "text": f"text {i}"}) for i in range(3)))
    before = _read(manifest)
    decoded: list[str] = []
    inspect = inspection._inspect

    def follow(clip: inspection.Clip, *given: object) -> inspection.Inspection:
        decoded.append(clip.name)
        return inspect(clip, *given)

    monkeypatch.setattr(inspection, "_inspect", follow)
    assert _read(manifest) == before
    assert decoded == []
    soundfile.write(tmp_path / "1.wav", np.full(3200, 0.5), 16_000)
    os.utime(tmp_path / "1.wav", ns=(1, 1))
    after = _read(manifest)
    assert decoded == ["1.wav"]
    assert [each.duration_s for each in after] == [0.1, 0.2, 0.1]
    assert after[1].audio_hash != before[1].audio_hash
    for path in cache_folder().glob("clips-*.parquet"):
        path.write_bytes(b"damaged")
    assert _read(manifest) == after


def test_a_problem_is_looked_into_again(tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_text(json.dumps({"audio": "a.wav", "text": "one"}))
    soundfile.write(tmp_path / "a.wav", np.full(1600, 0.1), 16_000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inspection, "read_audio", _fail)
        assert _read(manifest) == []
    assert len(_read(manifest)) == 1


def _fail(*_given: object, **_options: object) -> np.ndarray:
    raise ValueError("cannot be decoded (too many open files)")
