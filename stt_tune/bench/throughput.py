"""How fast one training runs: random weights and made-up clips, so that nothing is downloaded."""

from __future__ import annotations

import resource
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForSpeechSeq2Seq, WhisperConfig, WhisperFeatureExtractor, set_seed

from stt_tune.errors import SettingsError
from stt_tune.progress import say
from stt_tune.speech.example import Example, SpeechData
from stt_tune.speech.families.base import Batch, Heard, SpeechModel, numpy_weights
from stt_tune.speech.families.whisper import WhisperModel, build_prompt
from stt_tune.speech.finetune import TrainingSettings, finetune
from stt_tune.speech.model import load_model
from stt_tune.speech.precision import autocast, find_precision
from stt_tune.speech.report import EpochReport

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
_TOKENS = 40  # of a transcript
_DEV_SHARE = 0.25  # of the train split's utterances
_FRAMES_PER_S = 100
# Dense bf16 operations a second, without sparsity. Source: NVIDIA's data sheets.
_PEAKS = {"H100 PCIe": 756e12, "H100": 989e12, "H200": 989e12, "A100": 312e12, "L40S": 362e12, "L40": 181e12}


@dataclass(frozen=True)
class _TimedWhisper(WhisperModel):
    """Keeps the seconds that it takes to hear each batch of an evaluation."""

    heard_s: list[float] = field(default_factory=list, kw_only=True)

    def hear(self, network: Any, batch: Batch, longest: int) -> Heard:
        """Transcribe a batch and measure its loss."""
        begun = time.monotonic()
        heard = super().hear(network, batch, longest)
        self.heard_s.append(time.monotonic() - begun)
        return heard


def bench_throughput(model: str, context_s: float, batch_size: int, batches: int, seed: int) -> dict[str, Any]:
    """Fine-tune for two epochs and time the second, its evaluation apart.

    Args:
        model: One of `ARCHITECTURES`.
        context_s: Length of the clips, and what they are padded to, in seconds.
        batch_size: Utterances of an effective batch.
        batches: Of an epoch.
        seed: Of weights and clips.

    Returns:
        `samples_per_second` (training alone), `flop_utilisation` (of the device's dense peak; on devices whose
        peak is not known, of what its largest matrix product reaches), `peak_memory_gb`, `evaluation_share` (of
        the time of an epoch, with one dev utterance for four in training) and `decoded_per_second`.

    Raises:
        SettingsError: Something asked for cannot be.
    """
    _check(model, context_s, batch_size, batches)
    speech_model = _make_model(model, seed)
    rng = np.random.default_rng(seed)
    train = [_make_example(speech_model, context_s, rng, i) for i in range(batch_size * batches)]
    dev = train[: max(int(len(train) * _DEV_SHARE), 1)]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    say(f"two epochs of {len(train)} utterances on {_name_device(device)}, {find_precision(device)}")
    reports: list[EpochReport] = []
    heard_s: list[float] = []

    def note(each: EpochReport) -> None:
        reports.append(each)
        heard_s.append(sum(speech_model.heard_s))

    configuration = {"learning_rate": 1e-6, "batch_size": batch_size, "epochs": 2}
    settings = TrainingSettings(seed=seed, audio_context_s=context_s, normaliser="basic")
    network = finetune(configuration, SpeechData(train, dev, []), speech_model, note, settings)
    epoch_s, evaluation_s = reports[1].seconds - reports[0].seconds, heard_s[1] - heard_s[0]
    samples_per_second = len(train) / (epoch_s - evaluation_s)
    return {
        "model": model,
        "context_s": context_s,
        "batch_size": batch_size,
        "micro_batch": reports[1].micro_batch,
        "device": _name_device(device),
        "precision": find_precision(device),
        "samples_per_second": samples_per_second,
        "flop_utilisation": samples_per_second * _count_flops(network, speech_model, train[0]) / _find_peak(device),
        "peak_memory_gb": _find_peak_memory(device),
        "evaluation_share": evaluation_s / epoch_s,
        "decoded_per_second": len(dev) / evaluation_s,
    }


def _check(model: str, context_s: float, batch_size: int, batches: int) -> None:
    problems = [
        f"{name} must be {must}, found {value}."
        for name, value, must, holds in (
            ("--model", model, f"one of {', '.join(ARCHITECTURES)}", model in ARCHITECTURES),
            ("--context", context_s, "from 1 to 30 seconds", 1 <= context_s <= 30),
            ("--batch-size", batch_size, "at least 1", batch_size >= 1),
            ("--batches", batches, "at least 1", batches >= 1),
        )
        if not holds
    ]
    if problems:
        raise SettingsError("\n".join(problems))


def _make_model(name: str, seed: int) -> _TimedWhisper:
    """A Whisper of that size, untrained; the packaged model lends its tokenizer, as what is said does not matter."""
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
    return _TimedWhisper(
        name=name,
        config=config,
        weights=numpy_weights(network),
        tokenizer=packaged.tokenizer,
        feature_extractor=WhisperFeatureExtractor(feature_size=mel_bins),
        generation_config=packaged.generation_config,
        prompt=build_prompt(packaged.tokenizer, packaged.config.vocab_size, "en"),
    )


def _make_example(model: Any, context_s: float, rng: np.random.Generator, number: int) -> Example:
    shape = (model.config.num_mel_bins, round(context_s * _FRAMES_PER_S))
    labels = [*rng.integers(1000, 20000, _TOKENS - 1).tolist(), model.end_token]
    features = rng.standard_normal(shape, dtype=np.float32)
    return Example(str(number), model.tokenizer.decode(labels[:-1]), features, labels)


def _count_flops(network: Any, model: SpeechModel, example: Example) -> float:
    """Of one utterance, forward and backward: what the mathematics needs, whatever the kernels do."""
    context_s = example.features.shape[1] / _FRAMES_PER_S
    batch = {name: tensor.to(network.device) for name, tensor in model.collate([example], context_s).items()}
    with FlopCounterMode(display=False) as counter, autocast(network.device.type):
        model.compute_loss(network, batch).total.backward()
    network.zero_grad()
    return float(counter.get_total_flops())


def _name_device(device: str) -> str:
    return torch.cuda.get_device_name() if device == "cuda" else f"{torch.get_num_threads()} CPU cores"


def _find_peak(device: str) -> float:
    """Operations a second that the device could do."""
    known = [peak for name, peak in _PEAKS.items() if device == "cuda" and name in torch.cuda.get_device_name()]
    return known[0] if known else _measure_peak(device)


def _measure_peak(device: str, size: int = 2048, times: int = 5) -> float:
    left, right = (torch.randn(size, size, device=device) for _ in range(2))
    best_s = float("inf")
    with autocast(device), torch.no_grad():
        for _ in range(times):
            begun = time.monotonic()
            float((left @ right)[0, 0])  # waits for the device
            best_s = min(best_s, time.monotonic() - begun)
    return 2 * size**3 / best_s


def _find_peak_memory(device: str) -> float:
    if device == "cuda":
        return float(torch.cuda.max_memory_allocated() / 1e9)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
