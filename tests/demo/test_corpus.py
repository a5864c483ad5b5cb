from __future__ import annotations

import json
from pathlib import Path

import pytest
import soundfile

from stt_tune.demo import build_demo_settings
from stt_tune.demo.corpus import CorpusSize, make_corpus
from stt_tune.speech.decode import measure
from stt_tune.speech.features import prepare
from stt_tune.speech.manifest import read_manifest
from stt_tune.speech.model import load_model
from stt_tune.speech.normalisers import load_normaliser
from stt_tune.speech.rates import summarise

_SIZE = CorpusSize(train=20, dev=10, test=30)


def _rows(manifest: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in manifest.read_text().splitlines()]


def test_splits_share_no_sentence_and_no_voice_and_test_has_words_of_its_own(tmp_path: Path) -> None:
    rows = _rows(make_corpus(_SIZE, 0, tmp_path))
    of = {split: [row for row in rows if row["split"] == split] for split in ("train", "dev", "test")}
    assert {split: len(found) for split, found in of.items()} == {"train": 20, "dev": 10, "test": 30}
    assert len({row["text"] for row in rows}) == 60
    voices = [{row["speaker"].split("+")[1] for row in found} for found in of.values()]
    assert not voices[0] & voices[1] | voices[0] & voices[2] | voices[1] & voices[2]
    words = {split: {word for row in found for word in row["text"].split()} for split, found in of.items()}
    assert words["test"] & {"mirror", "blanket", "hammer", "statue"}
    assert not words["train"] & {"mirror", "blanket", "hammer", "statue", "barrel", "candle", "garment", "pillow"}


def test_the_same_seed_gives_the_same_samples_and_is_cached(tmp_path: Path) -> None:
    first, again, other = (make_corpus(_SIZE, seed, tmp_path / name) for seed, name in ((0, "a"), (0, "b"), (1, "b")))
    assert first.read_text() == again.read_text() != other.read_text()
    for row in _rows(first):
        assert (first.parent / row["audio"]).read_bytes() == (again.parent / row["audio"]).read_bytes()
    before = first.stat().st_mtime_ns
    assert make_corpus(_SIZE, 0, tmp_path / "a") == first
    assert first.stat().st_mtime_ns == before


def test_the_audio_is_what_the_manifest_says(tmp_path: Path) -> None:
    manifest = make_corpus(_SIZE, 0, tmp_path)
    for row in _rows(manifest):
        info = soundfile.info(manifest.parent / row["audio"])
        assert (info.samplerate, info.channels) == (16_000, 1)
        assert info.duration == pytest.approx(float(row["duration_s"]), abs=1e-3)


def test_tiny_en_errs_on_it_but_not_everywhere() -> None:
    """Between 20 and 70 % WER before training: something to learn and something to keep."""
    manifest = Path(build_demo_settings(trials=8, seed=0).data)
    model, normalise = load_model("tiny.en"), load_normaliser("basic")
    utterances, _ = read_manifest(manifest, max_duration_s=30, normalise=normalise)
    dev = prepare([each for each in utterances if each.split == "dev"][:16], model, normalise).dev
    heard = measure(model.build(), dev, model, audio_context_s=30, normalise=normalise)
    assert 0.2 <= summarise(heard.utterances).wer <= 0.7
