"""Load a speech model from a folder, a hub name or the package, into memory that trials share."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import AutoConfig, AutoFeatureExtractor, AutoTokenizer

from stt_tune.errors import HubUnreachableError, ModelError, first_line
from stt_tune.speech.ctranslate2 import is_ctranslate2_folder, read_whisper
from stt_tune.speech.families.base import SpeechModel, numpy_weights
from stt_tune.speech.packaged import PACKAGED_MODEL, find_packaged_folder

_FAMILIES = "stt_tune.speech.families"
# what hubs that are reached answer
_NOT_FOUND = {"RepositoryNotFoundError", "GatedRepoError"}
_LACKING = {"EntryNotFoundError", "RemoteEntryNotFoundError"}
# The family of each model_type that a checkpoint's config may name: module and class.
FAMILIES = {
    "whisper": ("whisper", "WhisperModel"),
    "moonshine": ("moonshine", "MoonshineModel"),
    "wav2vec2": ("ctc", "WaveformCtcModel"),
    "hubert": ("ctc", "WaveformCtcModel"),
    "wavlm": ("ctc", "WaveformCtcModel"),
    "wav2vec2-bert": ("ctc", "Wav2Vec2BertModel"),
    "parakeet_ctc": ("ctc", "ParakeetModel"),
}


def load_model(source: str, *, language: str = "en") -> SpeechModel:
    """Load a checkpoint.

    Args:
        source: `tiny.en` (in the package's extra `demo`), a folder (transformers or CTranslate2
            format), or a Hugging Face hub name such as `openai/whisper-small`.
        language: Spoken language, as Whisper's code; models of one language ignore it.

    Raises:
        ModelError: No such model, an incomplete one, or a family that is not supported.
        HubUnreachableError: `source` is a hub name and the hub does not answer.
        SettingsError: The model does not know the language.
    """
    folder = find_packaged_folder() if source == PACKAGED_MODEL else Path(source)
    if folder.is_dir() and is_ctranslate2_folder(folder):
        return _load_ctranslate2(source, folder, language)
    if not folder.is_dir() and not _is_hub_name(source):
        raise ModelError(
            f"--model must be {PACKAGED_MODEL}, a folder or a hub name such as openai/whisper-small; "
            f"{source!r} is none of these. Check the path."
        )
    return _load_transformers(source, language)


def _is_hub_name(source: str) -> bool:
    owner, _, name = source.partition("/")
    return bool(owner and name) and "/" not in name and owner not in (".", "..", "~")


def _load_ctranslate2(name: str, folder: Path, language: str) -> SpeechModel:
    from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperTokenizer

    from stt_tune.speech.families.whisper import WhisperModel, build_generation, build_prompt, keep_suppression

    if not (folder / "tokenizer.json").is_file():
        raise ModelError(f"{folder}: must hold tokenizer.json, which is not there. Copy it from the original model.")
    config, generation, weights = read_whisper(folder)
    tokenizer = WhisperTokenizer.from_pretrained(str(folder))
    start, end = tokenizer.convert_tokens_to_ids(["<|startoftranscript|>", "<|endoftext|>"])
    special = {"bos_token_id": end, "eos_token_id": end, "pad_token_id": end, "decoder_start_token_id": start}
    published = build_generation(tokenizer, config, {**generation, **special})
    return WhisperModel(
        name=name,
        config=WhisperConfig(**config, **special),
        generation_config=keep_suppression(published),
        published_generation=published,
        weights=weights,
        tokenizer=tokenizer,
        feature_extractor=WhisperFeatureExtractor(feature_size=config["num_mel_bins"]),
        prompt=build_prompt(tokenizer, config["vocab_size"], language),
    )


def _load_transformers(source: str, language: str) -> SpeechModel:
    # it tells every retry; what comes of them is told once, below
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    try:
        config = AutoConfig.from_pretrained(source)
        family = _find_family(source, config)
        network, loading = family.auto_class.from_pretrained(
            source, config=config, dtype=torch.float32, output_loading_info=True
        )
        _check_complete(source, loading)
        parts = {
            "name": source,
            "config": config,
            "weights": numpy_weights(network),
            "tokenizer": AutoTokenizer.from_pretrained(source),
            "feature_extractor": AutoFeatureExtractor.from_pretrained(source),
        }
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError, StrictDataclassError) as error:
        if isinstance(error, ModelError):
            raise
        raise _explain(source, error) from error
    return family(**parts, **family.read_decoding(network, parts["tokenizer"], language))


def _check_complete(source: str, loading: Mapping[str, Any]) -> None:
    """Refuse a checkpoint whose layers would begin at random: each loading would give another model."""
    # what masks put in the place of speech matters in training only, and is learned
    lacking = sorted(name for name in loading["missing_keys"] if not name.endswith("masked_spec_embed"))
    lacking += sorted(str(each[0]) for each in loading.get("mismatched_keys") or ())
    if lacking:
        raise ModelError(
            f"{source}: the checkpoint must hold every layer, and lacks {', '.join(lacking[:5])}. A model that was "
            "only pre-trained has to be given a vocabulary first."
        )


def _find_family(source: str, config: Any) -> type[SpeechModel]:
    if config.model_type not in FAMILIES:
        raise ModelError(f"{source}: the model family must be one of {', '.join(FAMILIES)}; found {config.model_type}.")
    module, name = FAMILIES[config.model_type]
    family: type[SpeechModel] = getattr(importlib.import_module(f"{_FAMILIES}.{module}"), name)
    return family


def _explain(source: str, error: Exception) -> ModelError | HubUnreachableError:
    if Path(source).is_dir():
        return ModelError(
            f"{source}: the folder must hold a complete transformers or CTranslate2 model: {first_line(error)}"
        )
    causes: list[Any] = [error]
    while causes[-1].__cause__ or causes[-1].__context__:
        causes.append(causes[-1].__cause__ or causes[-1].__context__)
    names = {type(cause).__name__ for cause in causes}
    if names & _NOT_FOUND:
        return ModelError(f"--model {source}: the hub has no such model, or it needs a login (hf auth login).")
    # of what hubs hold; what is not reached is an OSError, too, and so is a file that they lack
    if not isinstance(error, OSError) or names & _LACKING:
        return ModelError(
            f"--model {source}: must be a model that transformers loads, with its tokenizer and feature extractor, and "
            f"is not ({first_line(error)})"
        )
    return HubUnreachableError(
        f"--model {source}: the model hub could not be reached and the model is not in the local cache. "
        f"Check the network, or give a local folder, or use {PACKAGED_MODEL}, which is in the package."
    )
