from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from stt_tune.errors import ManifestError
from stt_tune.speech.clip import FileClip
from stt_tune.speech.manifest import Rejected, Utterance, hash_data, read_manifest, reject
from stt_tune.speech.normalisers import load_normaliser
from stt_tune.speech.splits import assign_splits, group_alike, set_apart_copies, warn_of_small

_NORMALISE = load_normaliser("basic")


def _tone(path: Path, *, rate: int = 16_000, seconds: float = 0.5, channels: int = 1, **options: Any) -> str:
    samples = 0.1 * np.sin(np.arange(int(rate * seconds)) / 10)
    soundfile.write(path, np.stack([samples] * channels, axis=1), rate, **options)
    return path.name


def _manifest(folder: Path, rows: list[Any]) -> Path:
    path = folder / "manifest.jsonl"
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def _read(path: Path, max_duration_s: float = 30) -> tuple[list[Utterance], list[Rejected]]:
    return read_manifest(path, max_duration_s=max_duration_s, normalise=_NORMALISE)


def test_good_rows_of_any_rate_and_format_are_read(tmp_path: Path) -> None:
    rows = [
        {"audio": _tone(tmp_path / "a.flac"), "text": "a tone", "speaker": "x", "hypothesis": "atone"},
        {"audio": _tone(tmp_path / "b.wav", rate=44_100, channels=2), "text": "two channels", "id": "second"},
        {"audio": str(tmp_path / _tone(tmp_path / "c.ogg", rate=8_000)), "text": "narrow", "noise": "ignored"},
        {"audio": _tone(tmp_path / "d.wav", rate=96_000, subtype="PCM_U8"), "text": "coarse"},
    ]
    utterances, rejected = _read(_manifest(tmp_path, rows))
    assert not rejected
    assert [each.id for each in utterances] == ["a.flac", "second", str(tmp_path / "c.ogg"), "d.wav"]
    assert [each.duration_s for each in utterances] == pytest.approx([0.5] * 4, abs=0.01)
    assert (utterances[0].speaker, utterances[0].hypothesis, utterances[1].speaker) == ("x", "atone", None)


def test_all_bad_rows_are_told_with_their_line(tmp_path: Path) -> None:
    good = _tone(tmp_path / "good.wav")
    (tmp_path / "noise.flac").write_bytes(b"fLaC not really")
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 16_000)
    soundfile.write(tmp_path / "nan.wav", np.full(100, np.nan), 16_000, subtype="FLOAT")
    (tmp_path / "phone.M4A").write_bytes(b"\0\0\0\x20ftypM4A ")
    soundfile.write(tmp_path / "click.wav", np.full(1, 0.1), 48_000)
    (tmp_path / "folder").mkdir()
    rows = [
        {"audio": good, "text": "good"},
        {"audio": "missing.wav", "text": "x"},
        {"audio": "noise.flac", "text": "x"},
        {"audio": "empty.wav", "text": "x"},
        {"audio": "nan.wav", "text": "x"},
        {"audio": "folder", "text": "x"},
        {"audio": good, "text": "again"},
        {"audio": good, "text": "  ", "id": "e"},
        {"audio": good, "text": "?!", "id": "f"},
        {"text": "no audio"},
        {"audio": _tone(tmp_path / "long.wav", seconds=3), "text": "x"},
        {"audio": good, "text": 7, "id": "g"},
        {"audio": good, "text": "x", "id": "h", "split": "validate"},
        "{broken",
        ["a", "list"],
        {"audio": "phone.M4A", "text": "x"},
        {"audio": "click.wav", "text": "x"},
    ]
    expected = [
        (2, "audio missing.wav is no file"),
        (3, "audio noise.flac cannot be decoded (Error : unknown error in flac decoder)"),
        (4, "audio empty.wav holds no samples"),
        (5, "audio nan.wav holds samples that are not numbers"),
        (6, "audio folder is no file"),
        (7, "the id good.wav was used before, in line 1"),
        (8, "text is empty"),
        (9, "text has no word left after the normaliser"),
        (10, "audio is missing"),
        (
            11,
            "audio long.wav lasts 3.0 s, clips may last 2 s at most. Cut it, or name the part",
        ),
        (12, "text must be a string, found 7"),
        (13, "split must be one of train, dev, test, found 'validate'"),
        (14, "the line must be JSON in UTF-8"),
        (15, "the line must be a JSON object, found list"),
        (
            16,
            "audio phone.M4A cannot be decoded (Format not recognised): libsndfile reads no m4a. Convert it: "
            "ffmpeg -i IN.M4A OUT.flac",
        ),
        (17, "audio click.wav holds no samples at 16 kHz"),
    ]
    path = _manifest(tmp_path, rows)
    utterances, rejected = _read(path, max_duration_s=2)
    assert [each.id for each in utterances] == ["good.wav"]
    assert [bad.line for bad in rejected] == [line for line, _ in expected]
    for bad, (_, reason) in zip(rejected, expected, strict=True):
        assert bad.reason.startswith(reason)
    message = str(reject(path, rejected))
    assert all(f"{path}:{line}: {reason}" in message for line, reason in expected)


def test_a_manifest_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="must be a readable file, found: No such file"):
        _read(tmp_path / "none.jsonl")
    with pytest.raises(ManifestError, match="must hold at least one row, found none"):
        _read(_manifest(tmp_path, [""]))


def test_the_data_hash_changes_with_text_split_and_audio_but_not_with_order(tmp_path: Path) -> None:
    first = _utterances(3, split="train")
    assert hash_data(first) == hash_data(first[::-1])
    for name, value in (("text", "other"), ("split", "dev"), ("audio_hash", "other")):
        changed = [replace(first[0], **{name: value}), *first[1:]]
        assert hash_data(changed) != hash_data(first)


def _utterances(
    count: int,
    *,
    speakers: int | None = None,
    sessions: int | None = None,
    split: str | None = None,
    texts: list[str] | None = None,
) -> list[Utterance]:
    return [
        Utterance(
            id=f"u{i}",
            clip=FileClip(f"u{i}.wav", Path(f"/u{i}.wav")),
            text=texts[i] if texts else f"utterance {i}",
            hypothesis=None,
            speaker=f"s{i % speakers}" if speakers else None,
            session=f"c{i % sessions}" if sessions else None,
            error_type=None,
            split=split,
            part=(0.0, None),
            duration_s=1.0,
            audio_hash=str(i),
        )
        for i in range(count)
    ]


def test_speakers_stay_whole_where_there_are_enough() -> None:
    split, how = assign_splits(_utterances(120, speakers=12), seed=0, normalise=_NORMALISE)
    assert how == "speaker"
    homes = {each.speaker: {other.split for other in split if other.speaker == each.speaker} for each in split}
    assert all(len(splits) == 1 for splits in homes.values())
    assert {each.split for each in split} == {"train", "dev", "test"}


@pytest.mark.parametrize("speakers", [None, 3])
def test_utterances_are_divided_where_speakers_are_few_or_unknown(speakers: int | None) -> None:
    split, how = assign_splits(_utterances(100, speakers=speakers), seed=0, normalise=_NORMALISE)
    assert how == "utterance"
    assert Counter(each.split for each in split) == {"train": 60, "dev": 20, "test": 20}


def test_sessions_stay_whole_where_speakers_are_unknown() -> None:
    split, how = assign_splits(_utterances(120, sessions=12), seed=0, normalise=_NORMALISE)
    assert how == "session"
    homes = {each.session: {other.split for other in split if other.session == each.session} for each in split}
    assert all(len(splits) == 1 for splits in homes.values())


def test_the_same_sentence_never_lies_in_two_splits() -> None:
    numbers = "zero one two three four five six seven eight nine".split()  # noqa: SIM905
    texts = [f"order {numbers[i % 10]} {numbers[i // 10]} from row {i} of hall {i % 7}" for i in range(60)]
    again = [text.upper() + "!" for text in texts[:20]] + [text.replace("from", "off") for text in texts[20:40]]
    less = [text.replace(" of hall", " hall") for text in texts[40:]]
    utterances = _utterances(120, texts=[*texts, *again, *less])
    split, how = assign_splits(utterances, seed=0, normalise=_NORMALISE)
    assert how == "utterance"
    assert all(split[i].split == split[60 + i].split for i in range(60))
    assert Counter(each.split for each in split) == {"train": 72, "dev": 24, "test": 24}


def test_a_pattern_of_commands_is_not_one_sentence() -> None:
    texts = [f"please bring {i} boxes to row {i % 9} of hall two" for i in range(100)]
    assert len(set(group_alike(_utterances(100, texts=texts), _NORMALISE))) == 100
    few = _utterances(90, texts=[("stop", "go", "left")[i % 3] for i in range(90)])
    assert len(set(group_alike(few, _NORMALISE))) == 90
    with_twins = [replace(each, audio_hash=str(i // 2)) for i, each in enumerate(few)]
    assert len(set(group_alike(with_twins, _NORMALISE))) == 45


def test_a_frequent_answer_leaves_other_sentences_together(capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    sentences = [" ".join(f"w{word}" for word in rng.integers(0, 5000, 8)) for _ in range(40)]
    pattern = [f"please bring {i} boxes to hall two" for i in range(20)]
    texts = [*sentences, *(text.removesuffix(text.split()[-1]) for text in sentences), *pattern, *["yes"] * 20]
    utterances = _utterances(120, texts=texts)
    first, again = (assign_splits(utterances, seed=0, normalise=_NORMALISE)[0] for _ in range(2))
    assert first == again
    assert all(one.split == other.split for one, other in zip(first[:40], first[40:80], strict=True))
    assert len({each.split for each in first[80:100]}) == len({each.split for each in first[100:]}) == 3
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 2
    assert "20 have the same transcript as others (such as 'yes'); 20 have nearly the same" in told[0]


def test_nothing_is_told_where_all_that_is_alike_stays_together(capsys: pytest.CaptureFixture[str]) -> None:
    assign_splits(_utterances(60, texts=[f"sentence {i // 3}" for i in range(60)]), seed=0, normalise=_NORMALISE)
    assert capsys.readouterr().err == ""


def test_speakers_who_share_audio_stay_in_one_split(capsys: pytest.CaptureFixture[str]) -> None:
    utterances = _utterances(120, speakers=12)
    shared = [replace(each, audio_hash="0") if each.id in ("u1", "u14") else each for each in utterances]
    for seed in range(6):
        split, how = assign_splits(shared, seed, _NORMALISE)
        assert how == "speaker"
        assert len({each.split for each in split if each.speaker in ("s0", "s1", "s2")}) == 1
        assert set_apart_copies(split, skip=False) == split
    assert capsys.readouterr().err == ""
    jingle = [replace(each, audio_hash="0") if int(each.id[1:]) < 8 else each for each in utterances]
    split, how = assign_splits(jingle, 0, _NORMALISE)
    assert how == "utterance"
    assert "not divided by speaker: with those together that share audio, 5 of 12 are left" in capsys.readouterr().err
    assert set_apart_copies(split, skip=False) == split


def test_a_small_dev_split_is_told_with_what_would_do() -> None:
    told = warn_of_small("dev", 60, 300, 0.25)
    assert told is not None
    assert "with its 300 words, a WER of 0.25 is known to about 0.069 (95 %), which is 28% of it" in told
    needed, utterances = re.findall(r"takes about (\d+) words, (\d+) such utterances", told)[0]
    assert int(utterances) == pytest.approx(int(needed) / 5, abs=1)
    assert warn_of_small("dev", 9, int(needed), 0.25) is None
    assert warn_of_small("test", 9, int(needed) - 50, 0.25) is not None
    assert warn_of_small("dev", 60, 300, None) == warn_of_small("dev", 60, 300, 0.2)


def test_splits_come_from_the_seed() -> None:
    utterances = _utterances(50)
    first, second, other = (assign_splits(utterances, seed, _NORMALISE)[0] for seed in (1, 1, 2))
    assert first == second != other


def test_a_missing_or_partial_split_is_refused() -> None:
    with pytest.raises(ManifestError, match="found 5 train, 0 dev, 0 test"):
        assign_splits(_utterances(5, split="train"), seed=0, normalise=_NORMALISE)
    with pytest.raises(
        ManifestError, match=r"split must be given for all rows or for none, found 2 of 3 \(u0 has none"
    ):
        assign_splits([*_utterances(1), *_utterances(3, split="train")[1:]], seed=0, normalise=_NORMALISE)


def test_one_speaker_with_most_of_the_data_is_trained_on() -> None:
    utterances = [replace(each, speaker="a") for each in _utterances(500)]
    others = enumerate(_utterances(50))
    utterances += [replace(each, id=f"v{i}", speaker=f"s{i % 5}", audio_hash=f"v{i}") for i, each in others]
    for seed in range(6):
        counts = Counter(each.split for each in assign_splits(utterances, seed, _NORMALISE)[0])
        assert counts["train"] >= 500
        assert min(counts["dev"], counts["test"]) > 0
