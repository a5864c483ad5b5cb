"""What the base model is asked, where new data are compared with old ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from stt_tune.errors import SettingsError
from stt_tune.results.confirmation import BASE_MODEL
from stt_tune.run.drift import find_drift
from stt_tune.run.profile import profile_data, shorten_profile
from stt_tune.speech.manifest import read_sound
from stt_tune.speech.normalisers import load_normaliser
from stt_tune.speech.packaged import PACKAGED_MODEL

_TOO_LONG = "xq7zk " * 150  # more tokens than the decoder writes


def _write_data(path: Path, texts: list[str], *, seconds: float) -> str:
    rng = np.random.default_rng(0)
    rows = []
    for i, text in enumerate(texts):
        audio = path.with_name(f"{path.stem}{i}.flac")
        soundfile.write(audio, rng.normal(0, 0.1, round(seconds * 16_000)), 16_000)
        rows.append({"audio": audio.name, "text": text})
    path.write_text("\n".join(map(json.dumps, rows)))
    return str(path)


@pytest.fixture
def config(tmp_path: Path) -> str:
    """An optimal config whose data were heard by the base model."""
    normalise = load_normaliser("basic")
    source = _write_data(tmp_path / "old.jsonl", ["one two", "three", "four six", "two"], seconds=1.0)
    utterances, _rejected = read_sound(source, skip_bad=False, max_duration_s=30, normalise=normalise)
    base = {"source": BASE_MODEL, "mean": 1.0, "sd": 0.1, "utterances": 4}
    document: dict[str, Any] = {
        "hyperparameters": {"learning_rate": 1e-5},
        "model": PACKAGED_MODEL,
        "normaliser": "basic/1",
        "language": "en",
        "data_profile": {**shorten_profile(profile_data(utterances, normalise)), "base": base},
    }
    path = tmp_path / "optimal_config.json"
    path.write_text(json.dumps(document))
    return str(path)


def test_the_base_model_hears_what_it_can_write(
    config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = _write_data(tmp_path / "new.jsonl", ["one", _TOO_LONG, "two", "three"], seconds=16.0)
    report = find_drift(config, source)
    assert "base WER" in [shift.name for shift in report.shifts]
    assert "gets wrong of 3 utterances" in capsys.readouterr().err


@pytest.mark.parametrize("edges_s", [[0.5], [3.0, 2.0, 1.0]])
def test_a_profile_of_durations_that_was_damaged_is_told(config: str, tmp_path: Path, edges_s: list[float]) -> None:
    document = json.loads(Path(config).read_text())
    document["data_profile"] |= {"duration_edges_s": edges_s, "duration_counts": [1, 1, 1, 1]}
    Path(config).write_text(json.dumps(document))
    with pytest.raises(SettingsError, match=f"{config}: data_profile: must have duration_edges_s that ascend and one"):
        find_drift(config, _write_data(tmp_path / "new.jsonl", ["one"] * 2, seconds=1.0))


@pytest.mark.parametrize(("text", "seconds"), [(_TOO_LONG, 16.0), ("one", 31.0)])
def test_where_the_base_model_can_take_nothing_its_errors_are_not_compared(
    config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, seconds: float
) -> None:
    report = find_drift(config, _write_data(tmp_path / "new.jsonl", [text] * 2, seconds=seconds))
    assert [shift.name for shift in report.shifts] == ["durations", "vocabulary"]
    assert "base WER: not compared, as tiny.en can take none of the 2 utterances" in capsys.readouterr().err
