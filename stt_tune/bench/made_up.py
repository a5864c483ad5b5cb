"""Models of random weights and clips of noise: nothing is downloaded, and they are as fast as real ones."""

from __future__ import annotations

from typing import Any

import numpy as np
from transformers import AutoModelForSpeechSeq2Seq, WhisperConfig, WhisperFeatureExtractor, set_seed

from stt_tune.errors import SettingsError
from stt_tune.speech.example import Example, SpeechData
from stt_tune.speech.families.base import numpy_weights
from stt_tune.speech.families.whisper import WhisperModel, build_prompt
from stt_tune.speech.model import load_model

# Width, layers of the encoder and of the decoder, heads, mel bins and vocabulary of each size.
# Source: Radford et al. 2023, https://arxiv.org/abs/2212.04356, table 1, and the checkpoints' own configs.
_WHISPER = {
    "whisper-tiny": (384, 4, 4, 6, 80, 51865),
    "whisper-base": (512, 6, 6, 8, 80, 51865),
    "whisper-small": (768, 12, 12, 12, 80, 51865),
    "whisper-medium": (1024, 24, 24, 16, 80, 51865),
    "whisper-large-v3": (1280, 32, 32, 20, 128, 51866),
    "whisper-large-v3-turbo": (1280, 32, 4, 20, 128, 51866),
}
ARCHITECTURES = tuple(_WHISPER)
_TOKENS = 40  # of a transcript in training
_DEV_TOKENS = 27  # so that 48 are written at most
_DEV_SHARE = 0.25  # of the train split's utterances
_FRAMES_PER_S = 100


def check_asked(model: str, context_s: float, *counts: tuple[str, int, int]) -> None:
    """Refuse what cannot be made, all of it at once.

    Args:
        model: One of `ARCHITECTURES`.
        context_s: Length of the clips, in seconds.
        counts: Of each further option its name, what is given, and how much it must be at least.

    Raises:
        SettingsError: Something cannot be.
    """
    problems = [
        f"{name} must be {must}, found {value}."
        for name, value, must, holds in (
            ("--model", model, f"one of {', '.join(ARCHITECTURES)}", model in ARCHITECTURES),
            ("--context", context_s, "from 1 to 30 seconds", 1 <= context_s <= 30),
            *((name, count, f"at least {least}", count >= least) for name, count, least in counts),
        )
        if not holds
    ]
    if problems:
        raise SettingsError("\n".join(problems))


def make_model(name: str, seed: int) -> WhisperModel:
    """A Whisper of that size, untrained; the packaged model lends its tokenizer."""
    width, encoder_layers, decoder_layers, heads, mel_bins, vocabulary = _WHISPER[name]
    packaged: Any = load_model("tiny.en")
    config = WhisperConfig(
        **{
            **packaged.config.to_dict(),
            "d_model": width,
            "encoder_layers": encoder_layers,
            "decoder_layers": decoder_layers,
            "encoder_attention_heads": heads,
            "decoder_attention_heads": heads,
            "encoder_ffn_dim": 4 * width,
            "decoder_ffn_dim": 4 * width,
            "num_mel_bins": mel_bins,
            "vocab_size": vocabulary,
        }
    )
    set_seed(seed)
    network = AutoModelForSpeechSeq2Seq.from_config(config)
    return WhisperModel(
        name=name,
        config=config,
        weights=numpy_weights(network),
        tokenizer=packaged.tokenizer,
        feature_extractor=WhisperFeatureExtractor(feature_size=mel_bins),
        generation_config=packaged.generation_config,
        prompt=build_prompt(packaged.tokenizer, packaged.config.vocab_size, "en"),
    )


def make_data(model: WhisperModel, context_s: float, train: int, seed: int) -> SpeechData:
    """So many utterances of that length, in seconds, a quarter as many for dev, and none held out."""
    rng = np.random.default_rng(seed)

    def make(number: int, tokens: int) -> Example:
        shape = (model.config.num_mel_bins, round(context_s * _FRAMES_PER_S))
        labels = [*rng.integers(1000, 20000, tokens - 1).tolist(), model.end_token]
        features = rng.standard_normal(shape, dtype=np.float32)
        return Example(str(number), model.tokenizer.decode(labels[:-1]), features, labels)

    dev = max(int(train * _DEV_SHARE), 1)
    return SpeechData([make(i, _TOKENS) for i in range(train)], [make(i, _DEV_TOKENS) for i in range(dev)], [])
