"""Read a CTranslate2 Whisper checkpoint (what faster-whisper serves) as transformers weights."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from stt_tune.errors import ModelError

# CTranslate2's DataType enumeration, in its order (float32 ... bfloat16).
_FLOAT32, _INT8, _INT16, _INT32, _FLOAT16, _BFLOAT16 = range(6)
_NUMPY_TYPES = {
    _FLOAT32: "<f4",
    _INT8: "<i1",
    _INT16: "<i2",
    _INT32: "<i4",
    _FLOAT16: "<f2",
    _BFLOAT16: "<u2",
}
_READABLE_VERSIONS = (5, 6)

Variables = dict[str, np.ndarray]


def is_ctranslate2_folder(folder: Path) -> bool:
    """Whether `folder` holds a CTranslate2 checkpoint (`model.bin` with its specification)."""
    try:
        with (folder / "model.bin").open("rb") as file:
            version = struct.unpack("<I", file.read(4))[0]
            return version in range(1, 100) and _read_string(file).endswith("Spec")
    except (OSError, struct.error, UnicodeDecodeError):
        return False


def read_whisper(folder: Path) -> tuple[dict[str, Any], dict[str, Any], Variables]:
    """Convert the Whisper checkpoint in `folder` to transformers' names and shapes.

    Args:
        folder: A CTranslate2 model folder with `model.bin` and `config.json`.

    Returns:
        Arguments for `WhisperConfig`, arguments for `GenerationConfig` (the token ids that the
        checkpoint suppresses), and float32 weights by the names of
        `WhisperForConditionalGeneration`. The tied output projection is left out.

    Raises:
        ModelError: `model.bin` is truncated, of an unknown version, or not a Whisper model.

    Source: CTranslate2 `python/ctranslate2/specs/model_spec.py` (binary version 6) and
        `converters/transformers.py` (how q, k and v are fused).
    """
    variables = _read_variables(folder / "model.bin")
    try:
        weights = _rename(variables)
        config = _model_config(variables)
    except KeyError as missing:
        raise ModelError(
            f"{folder / 'model.bin'}: a Whisper checkpoint must have the variable {missing}, "
            "which is not there. Give a folder made by ct2-transformers-converter."
        ) from missing
    return config, _generation_config(folder), weights


def _read_variables(path: Path) -> Variables:
    """Read all variables of a `model.bin`, dequantised to float32 where they are weights."""
    try:
        with path.open("rb") as file:
            raw = _read_raw(file, path)
    except (struct.error, UnicodeDecodeError) as error:
        raise ModelError(f"{path}: the file is cut off or damaged ({error}). Copy it again.") from error
    scales = {name.removesuffix("_scale") for name in raw if name.endswith("_scale")}
    return {
        name: _dequantise(array, raw[f"{name}_scale"]) if name in scales else array
        for name, array in raw.items()
        if not name.endswith("_scale")
    }


def _read_raw(file: BinaryIO, path: Path) -> Variables:
    (version,) = struct.unpack("<I", file.read(4))
    if version not in _READABLE_VERSIONS:
        raise ModelError(
            f"{path}: binary version must be one of {_READABLE_VERSIONS}, found {version}. "
            "Convert the model again with a current ctranslate2."
        )
    specification = _read_string(file)
    if specification != "WhisperSpec":
        raise ModelError(f"{path}: the model must be a Whisper (WhisperSpec), found {specification}.")
    _revision, count = struct.unpack("<II", file.read(8))
    variables: Variables = {}
    for _ in range(count):
        name = _read_string(file)
        (rank,) = struct.unpack("<B", file.read(1))
        shape = struct.unpack(f"<{rank}I", file.read(4 * rank))
        data_type, size = struct.unpack("<BI", file.read(5))
        data = file.read(size)
        if len(data) != size or data_type not in _NUMPY_TYPES:
            raise ModelError(f"{path}: the variable {name} is cut off or of unknown type {data_type}. Copy it again.")
        variables[name] = _as_array(data, data_type, shape)
    (aliases,) = struct.unpack("<I", file.read(4))
    for _ in range(aliases):
        alias, target = _read_string(file), _read_string(file)
        variables[alias] = variables[target]
    return variables


def _read_string(file: BinaryIO) -> str:
    (length,) = struct.unpack("<H", file.read(2))
    return file.read(length).rstrip(b"\0").decode()


def _as_array(data: bytes, data_type: int, shape: tuple[int, ...]) -> np.ndarray:
    array = np.frombuffer(data, dtype=_NUMPY_TYPES[data_type]).reshape(shape)
    if data_type == _BFLOAT16:
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array.astype(np.float32) if data_type == _FLOAT16 else array


def _dequantise(array: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Undo CTranslate2's quantisation: int8 has one scale a row, int16 one for the whole array."""
    per_row = scale.reshape(-1, *[1] * (array.ndim - 1)) if scale.ndim else scale
    return array.astype(np.float32) / per_row.astype(np.float32)


def _rename(variables: Variables) -> Variables:
    weights: Variables = {
        "model.encoder.conv1.weight": variables["encoder/conv1/weight"],
        "model.encoder.conv1.bias": variables["encoder/conv1/bias"],
        "model.encoder.conv2.weight": variables["encoder/conv2/weight"],
        "model.encoder.conv2.bias": variables["encoder/conv2/bias"],
        "model.decoder.embed_tokens.weight": variables["decoder/embeddings/weight"],
    }
    for side in ("encoder", "decoder"):
        weights[f"model.{side}.embed_positions.weight"] = variables[f"{side}/position_encodings/encodings"]
        weights |= _layer_norm(variables, f"{side}/layer_norm", f"model.{side}.layer_norm")
        for index in range(_layers(variables, side)):
            weights |= _layer(variables, f"{side}/layer_{index}", f"model.{side}.layers.{index}")
    return {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in weights.items()}


def _layer(variables: Variables, source: str, target: str) -> Variables:
    weights = _layer_norm(variables, f"{source}/self_attention/layer_norm", f"{target}.self_attn_layer_norm")
    weights |= _projections(variables, f"{source}/self_attention/linear_0", f"{target}.self_attn", "qkv")
    weights |= _linear(variables, f"{source}/self_attention/linear_1", f"{target}.self_attn.out_proj")
    if f"{source}/attention/linear_0/weight" in variables:
        weights |= _layer_norm(variables, f"{source}/attention/layer_norm", f"{target}.encoder_attn_layer_norm")
        weights |= _projections(variables, f"{source}/attention/linear_0", f"{target}.encoder_attn", "q")
        weights |= _projections(variables, f"{source}/attention/linear_1", f"{target}.encoder_attn", "kv")
        weights |= _linear(variables, f"{source}/attention/linear_2", f"{target}.encoder_attn.out_proj")
    weights |= _layer_norm(variables, f"{source}/ffn/layer_norm", f"{target}.final_layer_norm")
    weights |= _linear(variables, f"{source}/ffn/linear_0", f"{target}.fc1")
    weights |= _linear(variables, f"{source}/ffn/linear_1", f"{target}.fc2")
    return weights


def _linear(variables: Variables, source: str, target: str) -> Variables:
    return {
        f"{target}.weight": variables[f"{source}/weight"],
        f"{target}.bias": variables[f"{source}/bias"],
    }


def _layer_norm(variables: Variables, source: str, target: str) -> Variables:
    return {
        f"{target}.weight": variables[f"{source}/gamma"],
        f"{target}.bias": variables[f"{source}/beta"],
    }


def _projections(variables: Variables, source: str, target: str, parts: str) -> Variables:
    """Split a fused projection; `parts` names what it holds, in order, as in "qkv"."""
    fused_weight = np.split(variables[f"{source}/weight"], len(parts))
    fused_bias = np.split(variables[f"{source}/bias"], len(parts))
    weights: Variables = {}
    for part, weight, bias in zip(parts, fused_weight, fused_bias, strict=True):
        weights[f"{target}.{part}_proj.weight"] = weight
        if part != "k":  # Whisper's keys have no bias; the fused one is zero there
            weights[f"{target}.{part}_proj.bias"] = bias
    return weights


def _layers(variables: Variables, side: str) -> int:
    prefix = f"{side}/layer_"
    # "layer_norm" shares the prefix with "layer_0"
    indices = {name.removeprefix(prefix).split("/")[0] for name in variables if name.startswith(prefix)}
    return len(indices - {"norm"})


def _model_config(variables: Variables) -> dict[str, Any]:
    width, mels, _ = variables["encoder/conv1/weight"].shape
    heads = {side: int(variables[f"{side}/num_heads"]) for side in ("encoder", "decoder")}
    return {
        "d_model": width,
        "num_mel_bins": mels,
        "vocab_size": variables["decoder/embeddings/weight"].shape[0],
        "encoder_layers": _layers(variables, "encoder"),
        "decoder_layers": _layers(variables, "decoder"),
        "encoder_attention_heads": heads["encoder"],
        "decoder_attention_heads": heads["decoder"],
        "encoder_ffn_dim": variables["encoder/layer_0/ffn/linear_0/bias"].shape[0],
        "decoder_ffn_dim": variables["decoder/layer_0/ffn/linear_0/bias"].shape[0],
        "max_source_positions": variables["encoder/position_encodings/encodings"].shape[0],
        "max_target_positions": variables["decoder/position_encodings/encodings"].shape[0],
    }


def _generation_config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: must be readable JSON with the suppressed token ids ({error}).") from error
    return {
        "suppress_tokens": config.get("suppress_ids"),
        "begin_suppress_tokens": config.get("suppress_ids_begin"),
        "alignment_heads": config.get("alignment_heads"),
    }
