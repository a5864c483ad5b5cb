"""One tiny checkpoint of every family, randomly initialised: hubs are unreachable in tests."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import Metaspace
from tokenizers.trainers import BpeTrainer
from transformers import (
    AutoModelForCTC,
    AutoModelForSpeechSeq2Seq,
    HubertConfig,
    MoonshineConfig,
    ParakeetCTCConfig,
    ParakeetFeatureExtractor,
    ParakeetTokenizer,
    PreTrainedTokenizerFast,
    SeamlessM4TFeatureExtractor,
    Wav2Vec2BertConfig,
    Wav2Vec2Config,
    Wav2Vec2CTCTokenizer,
    Wav2Vec2FeatureExtractor,
    WavLMConfig,
    WhisperConfig,
    WhisperFeatureExtractor,
    set_seed,
)

from stt_tune.speech.families.base import SpeechModel

LETTERS = "abcdefghijklmnopqrstuvwxyz'"
_CONVOLUTIONS = {
    "conv_dim": [16] * 7,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
    # masks of the pre-trained length would not fit a tiny model's channels
    "mask_feature_length": 2,
}


def _save(folder: Path, auto: Any, config: Any, tokenizer: Any, feature_extractor: Any) -> None:
    set_seed(0)
    auto.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    feature_extractor.save_pretrained(folder)


def letter_tokenizer(folder: Path, letters: str = LETTERS) -> Wav2Vec2CTCTokenizer:
    """A CTC vocabulary of single letters, as wav2vec 2.0 has it."""
    tokens = ["<pad>", "<s>", "</s>", "<unk>", "|", *letters]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "letters.json"
    path.write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    return Wav2Vec2CTCTokenizer(str(path))


def _word_pieces(tokenizer_class: Any, **special: str) -> Any:
    pieces = Tokenizer(BPE(unk_token="<unk>"))
    pieces.pre_tokenizer, pieces.decoder = Metaspace(), decoders.Metaspace()
    trainer = BpeTrainer(
        vocab_size=60,
        special_tokens=["<unk>", "<s>", "</s>", "<pad>"],
        initial_alphabet=list(LETTERS),
        show_progress=False,
    )
    pieces.train_from_iterator(["one two three four five six seven eight nine zero"], trainer)
    return tokenizer_class(tokenizer_object=pieces, unk_token="<unk>", **special)


def make_waveform_ctc(config_class: Any, *, letters: str = LETTERS, mask: bool = True) -> Callable[[Path], None]:
    """wav2vec 2.0 and its kin; `mask` as their large models have it, without as their base models."""

    def make(folder: Path) -> None:
        tokenizer = letter_tokenizer(folder, letters)
        norm = "layer" if mask else "group"
        config = config_class(
            **_CONVOLUTIONS,
            vocab_size=len(tokenizer),
            pad_token_id=0,
            feat_extract_norm=norm,
            do_stable_layer_norm=mask,
        )
        _save(folder, AutoModelForCTC, config, tokenizer, Wav2Vec2FeatureExtractor(return_attention_mask=mask))

    return make


def _make_w2v_bert(folder: Path) -> None:
    tokenizer = letter_tokenizer(folder)
    config = Wav2Vec2BertConfig(
        vocab_size=len(tokenizer),
        pad_token_id=0,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        mask_feature_length=2,
    )
    _save(folder, AutoModelForCTC, config, tokenizer, SeamlessM4TFeatureExtractor())


def _make_parakeet(folder: Path) -> None:
    tokenizer = _word_pieces(ParakeetTokenizer, pad_token="<pad>")
    encoder = {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "subsampling_conv_channels": 8,
    }
    config = ParakeetCTCConfig(encoder_config=encoder, vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id)
    _save(folder, AutoModelForCTC, config, tokenizer, ParakeetFeatureExtractor(feature_size=80))


def _make_moonshine(folder: Path) -> None:
    tokenizer = _word_pieces(PreTrainedTokenizerFast, bos_token="<s>", eos_token="</s>", pad_token="</s>")
    config = MoonshineConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        encoder_num_hidden_layers=2,
        decoder_num_hidden_layers=2,
        encoder_num_attention_heads=2,
        decoder_num_attention_heads=2,
        max_position_embeddings=64,
    )
    _save(folder, AutoModelForSpeechSeq2Seq, config, tokenizer, Wav2Vec2FeatureExtractor(do_normalize=False))


def make_whisper(
    tiny: SpeechModel, *, vocabulary: int = 51864, mel_bins: int = 80, decoder_layers: int = 2
) -> Callable[[Path], None]:
    """Whisper: multilingual with one token more, large-v3 and turbo with 128 mel bins, distilled with fewer layers."""

    def make(folder: Path) -> None:
        config = WhisperConfig(
            **{**tiny.config.to_dict(), "vocab_size": vocabulary, "num_mel_bins": mel_bins},
        )
        config.d_model, config.encoder_ffn_dim, config.decoder_ffn_dim = 16, 32, 32
        config.encoder_layers, config.decoder_layers = 2, decoder_layers
        config.encoder_attention_heads = config.decoder_attention_heads = 2
        extractor = WhisperFeatureExtractor(feature_size=mel_bins)
        _save(folder, AutoModelForSpeechSeq2Seq, config, tiny.tokenizer, extractor)

    return make


def make_families(tiny: SpeechModel) -> dict[str, Callable[[Path], None]]:
    """What makes a checkpoint of each family in an empty folder."""
    return {
        "whisper": make_whisper(tiny),
        "whisper-multilingual": make_whisper(tiny, vocabulary=51865),
        "whisper-128-mel-bins": make_whisper(tiny, vocabulary=51866, mel_bins=128),
        "distil-whisper": make_whisper(tiny, decoder_layers=1),
        "moonshine": _make_moonshine,
        "wav2vec2-base": make_waveform_ctc(Wav2Vec2Config, mask=False),
        "wav2vec2-large": make_waveform_ctc(Wav2Vec2Config),
        "hubert": make_waveform_ctc(HubertConfig),
        "wavlm": make_waveform_ctc(WavLMConfig),
        "w2v-bert": _make_w2v_bert,
        "parakeet": _make_parakeet,
    }
