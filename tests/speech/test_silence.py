"""The silence behind a clip, in a few positions that count as many."""

from __future__ import annotations

import pytest
import torch
from transformers import PreTrainedModel

from stt_tune.speech.example import SpeechData
from stt_tune.speech.families.silence import POSITIONS, condense
from stt_tune.speech.families.whisper import WhisperModel, round_up


class _Cut(WhisperModel):
    """A Whisper whose silence is cut off."""

    def count_positions(self, audio_context_s: float) -> int:
        return round(50 * audio_context_s)

    def choose_positions(self, network: PreTrainedModel, count: int) -> tuple[torch.Tensor, torch.Tensor | None]:
        return torch.arange(count), None


@pytest.mark.parametrize("spoken", [1, 200, 1449])
def test_what_is_left_counts_as_much_as_all(spoken: int) -> None:
    positions, logits = condense(spoken, 1500)
    assert logits is not None
    assert len(positions) == len(logits) == spoken + POSITIONS
    assert positions[0] == 0
    assert positions[-1] == 1499
    assert (positions.diff() > 0).all()
    assert not logits[: spoken + 1].any()
    assert logits.exp().sum().item() == pytest.approx(1500, abs=0.01)


def test_where_it_would_be_no_fewer_all_is_left() -> None:
    positions, logits = condense(1450, 1500)
    assert positions.tolist() == list(range(1500))
    assert logits is None


def test_lengths_are_rounded_up_to_few() -> None:
    lengths = [round_up(frames / 100) for frames in range(100, 3001)]
    assert all(0 <= few - frames / 100 <= few / 5 for few, frames in zip(lengths, range(100, 3001), strict=True))
    assert sorted(set(lengths))[:9] == [1, 1.25, 1.5, 1.75, 2, 2.5, 3, 3.5, 4]
    assert len(set(lengths)) == 21


def test_the_encoder_hears_the_clip_as_with_all_of_the_silence(tiny: WhisperModel, speech: SpeechData) -> None:
    clips = speech.dev[:2]
    states = {}
    for name, model, seconds in (("all", tiny, 30.0), ("few", tiny, 4.0), ("cut", _Cut(**vars(tiny)), 4.0)):
        network = model.build().eval()
        with torch.no_grad():
            states[name] = model.run_encoder(network, model.collate(clips, seconds)).last_hidden_state[:, :150]
    off = {name: float((states[name] - states["all"]).norm() / states["all"].norm()) for name in ("few", "cut")}
    assert off["few"] < 2 / 3 * off["cut"]
