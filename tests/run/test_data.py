"""What is read for a run: splits, replay, vocabularies, clips that are too short."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from transformers import HubertConfig

from stt_tune.errors import ManifestError, ModelError, SettingsError
from stt_tune.run.data import load_speech
from stt_tune.run.settings import TuneSettings
from tests.speech.families import LETTERS, make_waveform_ctc

_TEXTS = ("one two", "seven", "four six", "Zoë's", "two", "eight nine", "three", "naïve one")


@pytest.fixture(scope="module")
def hubert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hubert")
    make_waveform_ctc(HubertConfig, letters=LETTERS.upper())(folder)
    return folder


def _write_manifest(folder: Path, texts: tuple[str, ...] = _TEXTS, *, seconds: float = 1.0, seed: int = 0) -> Path:
    splits = ("train", "train", "train", "train", "dev", "dev", "test", "test")
    rng = np.random.default_rng(seed)
    folder.mkdir(exist_ok=True)
    for i in range(len(texts)):
        soundfile.write(folder / f"{i}.wav", rng.normal(0, 0.1, round(seconds * 16_000)), 16_000)
    rows = [{"audio": f"{i}.wav", "text": text, "split": splits[i]} for i, text in enumerate(texts)]
    path = folder / "manifest.jsonl"
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows))
    return path


def test_a_vocabulary_that_lacks_characters_is_told_with_how_many(tmp_path: Path, hubert: Path) -> None:
    data = _write_manifest(tmp_path)
    with pytest.raises(ModelError, match=r"lacks 'Ë' \(1 times\), 'Ï' \(1 times\)\. Add them with --extend-vocabulary"):
        load_speech(TuneSettings(str(data), str(hubert)))


def test_an_extended_vocabulary_writes_every_transcript(tmp_path: Path, hubert: Path) -> None:
    data = _write_manifest(tmp_path)
    task = load_speech(TuneSettings(str(data), str(hubert), extend_vocabulary=True)).task
    network = task.model.build()
    assert network.config.vocab_size == len(LETTERS) + 5 + 2
    for example in (*task.data.train, *task.data.dev, *task.data.test):
        assert task.model.tokenizer.decode(_as_frames(example.labels)) == example.reference.upper()
        assert max(example.labels) < network.config.vocab_size


def _as_frames(labels: list[int]) -> list[int]:
    """As a network would write them: each token twice, a blank between."""
    return [token for label in labels for token in (label, label, 0)]


def test_a_clip_too_short_for_its_transcript_is_told(tmp_path: Path, hubert: Path) -> None:
    data = _write_manifest(tmp_path, ("one", "two", "three", "four", "five", "six", "one hundred and seventy", "nine"))
    soundfile.write(tmp_path / "6.wav", np.full(3200, 0.1), 16_000)
    with pytest.raises(ManifestError, match=r":7: audio 6.wav lasts 0.20 s, which is 9 frames .*; .* needs 23"):
        load_speech(TuneSettings(str(data), str(hubert)))


def test_a_model_that_does_not_pad_has_no_audio_context(tmp_path: Path, hubert: Path) -> None:
    data = _write_manifest(tmp_path, _TEXTS[:3] + _TEXTS[4:7] + _TEXTS[4:6])
    assert "audio_context_s" not in load_speech(TuneSettings(str(data), str(hubert))).facts()
    with pytest.raises(SettingsError, match=r"--audio-context: .* takes clips as long as they are"):
        load_speech(TuneSettings(str(data), str(hubert), audio_context_s=4))


def test_what_is_measured_is_not_replayed(tmp_path: Path, hubert: Path) -> None:
    texts = _TEXTS[:3] + _TEXTS[4:7] + _TEXTS[4:6]
    data = _write_manifest(tmp_path / "errors", texts)
    same = _write_manifest(tmp_path / "same", texts)
    rows = [json.loads(line) for line in same.read_text().splitlines()]
    same.write_text("\n".join(json.dumps({**row, "split": None}) for row in rows[4:7]))
    with pytest.raises(
        SettingsError,
        match="must hold utterances that stand nowhere else in this run, found 0: 0 rows are bad, 3 stand",
    ):
        load_speech(TuneSettings(str(data), str(hubert), replay=str(same)))
    other = _write_manifest(tmp_path / "other", texts, seed=1)
    speech = load_speech(TuneSettings(str(data), str(hubert), replay=str(other)))
    assert len(speech.task.data.replay) == speech.facts()["replay"] == 4
    assert speech.find_unsuited({"replay_ratio": 0.1}) == []
    (problem,) = load_speech(TuneSettings(str(data), str(hubert))).find_unsuited({"replay_ratio": 0.1})
    assert problem == "replay_ratio: needs utterances to replay. Name them with --replay MANIFEST."


def test_a_part_of_what_is_measured_is_not_replayed(tmp_path: Path, hubert: Path) -> None:
    data = _write_manifest(tmp_path, _TEXTS[:3] + _TEXTS[4:7] + _TEXTS[4:6])
    replay = tmp_path / "replay.jsonl"
    rows = [{"audio": f"{i}.wav", "text": "two", "offset": 0.0, "duration": 1.0} for i in (0, 4, 6)]
    replay.write_text("\n".join(json.dumps(row) for row in rows))
    (kept,) = load_speech(TuneSettings(str(data), str(hubert), replay=str(replay))).task.data.replay
    assert kept.id == "0.wav"
