"""Which transcripts a WER cannot count the words of."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stt_tune.run.prepare import prepare_data
from stt_tune.speech.normalisers import load_normaliser
from stt_tune.speech.unspaced import warn_of_unspaced

_SENTENCES = ["今天天气很好。我们去公园玩。", "他昨天买了三本新书。", "你明天早上几点去学校。", "这本书是谁的。"]


@pytest.mark.parametrize(
    "texts",
    [
        _SENTENCES,
        ["開けて", "止まれ", "ライトをつけて"],
        ["วันนี้อากาศดีมาก เราไปเที่ยวสวนสาธารณะกัน", "เมื่อวานเขาซื้อหนังสือใหม่สามเล่ม"],
        ["ថ្ងៃនេះអាកាសធាតុល្អណាស់", "គាត់បានទិញសៀវភៅថ្មីបីក្បាល"],
        ["我们用wifi上网", "打开bluetooth音箱和电视机还有空调"],
    ],
)
def test_text_without_spaces_is_told_with_what_to_measure(texts: list[str]) -> None:
    told = warn_of_unspaced([load_normaliser("multilingual")(text) for text in texts])
    assert told is not None
    assert "metric: name: cer, goal: minimize" in told


@pytest.mark.parametrize(
    "texts",
    [
        ["one two three", "yes"],
        ["Donaudampfschifffahrtsgesellschaft", "Straßenbahnhaltestelle"],
        ["오늘은 날씨가 아주 좋습니다", "네"],
        ["今天 天气 很 好", "他 昨天 买 了 三 本 新书"],
        ["今 天 天 气 很 好"],
        ["play the song 夜に駆ける for me please"],
    ],
)
def test_text_whose_words_are_apart_is_not_told(texts: list[str]) -> None:
    assert warn_of_unspaced([load_normaliser("multilingual")(text) for text in texts]) is None


def test_it_is_told_where_data_are_looked_at(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for i in range(4):
        soundfile.write(tmp_path / f"{i}.wav", rng.normal(0, 0.1, 32_000), 16_000)
    splits = ("train", "dev", "test", "test")
    rows = [{"audio": f"{i}.wav", "text": _SENTENCES[i], "split": splits[i]} for i in range(4)]
    (tmp_path / "manifest.jsonl").write_text("\n".join(map(json.dumps, rows)))
    report = prepare_data(str(tmp_path / "manifest.jsonl"), tmp_path / "out", language="zh")
    assert [each for each in report.describe() if each.startswith("transcripts have no spaces between words")]
