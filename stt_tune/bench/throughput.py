"""How fast one training runs."""

from __future__ import annotations

import resource
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from stt_tune.bench.made_up import check_asked, make_data, make_model
from stt_tune.progress import say
from stt_tune.speech.checkpoint import CheckpointWriter, name_checkpoint
from stt_tune.speech.compilation import note_trained
from stt_tune.speech.example import Example
from stt_tune.speech.families.base import Listen, SpeechModel
from stt_tune.speech.families.whisper import WhisperModel
from stt_tune.speech.finetune import TrainingSettings, finetune
from stt_tune.speech.precision import autocast, find_precision, find_type
from stt_tune.speech.report import EpochReport

_LONG_S = 3600.0
# Dense bf16 operations a second, without sparsity. Source: NVIDIA's data sheets.
_PEAKS = {
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H100": 989e12,
    "H200": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L40": 181e12,
}


@dataclass(frozen=True)
class _TimedWhisper(WhisperModel):
    """Keeps when each evaluation has begun."""

    begun_s: list[float] = field(default_factory=list, kw_only=True)

    def listener(self, network: Any) -> Listen:
        """What hears batches; the training before has ended on the device, too."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.begun_s.append(time.monotonic())
        return super().listener(network)


def bench_throughput(model: str, context_s: float, batch_size: int, batches: int, seed: int) -> dict[str, Any]:
    """Fine-tune for two epochs and time the second, its evaluation apart, as a worker does in the midst of a sweep.

    Args:
        model: One of `ARCHITECTURES`.
        context_s: Length of the clips, and what they are padded to, in seconds.
        batch_size: Utterances of an effective batch.
        batches: Of an epoch; from 4 on, passes are captured on a GPU.
        seed: Of weights and clips.

    Returns:
        `samples_per_second` (training alone), `flop_utilisation` (of the device's dense peak; on devices whose
        peak is not known, of what its largest matrix product reaches), `peak_memory_gb`, `evaluation_share` (of
        the time of an epoch, with one dev utterance for four in training), `decoded_per_second`, and of a checkpoint,
        which this training leaves none of: `checkpoint_wait_s` (what a training would wait for it after each epoch) and
        `checkpoint_s` (until it is written).

    Raises:
        SettingsError: Something asked for cannot be.
    """
    check_asked(model, context_s, ("--batch-size", batch_size, 1), ("--batches", batches, 1))
    speech_model = _TimedWhisper(**vars(make_model(model, seed)))
    count = batch_size * batches
    data = make_data(speech_model, context_s, count, seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    say(f"two epochs of {count} utterances on {_name_device(device)}, {find_precision(device)}")
    reports: list[EpochReport] = []
    evaluations_s: list[float] = []

    def note(each: EpochReport) -> None:
        reports.append(each)
        evaluations_s.append(time.monotonic() - speech_model.begun_s[-1])

    note_trained(_LONG_S)
    configuration = {"learning_rate": 1e-6, "batch_size": batch_size, "epochs": 2}
    settings = TrainingSettings(seed=seed, audio_context_s=context_s, normaliser="basic")
    network = finetune(configuration, data, speech_model, note, settings)
    epoch_s, evaluation_s = reports[1].seconds - reports[0].seconds, evaluations_s[1]
    samples_per_second = count / (epoch_s - evaluation_s)
    flops = _count_flops(network, speech_model, data.train[0])
    return {
        "model": model,
        "context_s": context_s,
        "batch_size": batch_size,
        "micro_batch": reports[1].micro_batch,
        "device": _name_device(device),
        "precision": find_precision(device),
        "samples_per_second": samples_per_second,
        "flop_utilisation": samples_per_second * flops / _find_peak(device),
        "peak_memory_gb": _find_peak_memory(device),
        "evaluation_share": evaluation_s / epoch_s,
        "decoded_per_second": len(data.dev) / evaluation_s,
        **_time_checkpoint(network),
    }


def _time_checkpoint(network: Any) -> dict[str, float]:
    optimizer = torch.optim.AdamW(network.parameters())
    for each in network.parameters():
        each.grad = torch.zeros_like(each)
    optimizer.step()  # which makes the moments
    writer = CheckpointWriter(network.device, None, say)
    with tempfile.TemporaryDirectory() as folder:
        for step in (1, 2):  # the first takes the memory of the copy
            path = name_checkpoint(Path(folder), step)
            path.mkdir()
            begun_s = time.monotonic()
            writer.begin(path, network, optimizer)
            waited_s = time.monotonic()
            writer.settle()
            written_s = time.monotonic()
        writer.close()
    return {"checkpoint_wait_s": waited_s - begun_s, "checkpoint_s": written_s - begun_s}


def _count_flops(network: Any, model: SpeechModel, example: Example) -> float:
    """Of one utterance, forward and backward: what the mathematics needs, whatever the kernels do.

    torch counts attention's way back as its kernels do it: five products, of which the first computes anew what the way
    there has not kept.
    """
    context_s = example.features.shape[1] / 100
    batch = {name: tensor.to(network.device) for name, tensor in model.collate([example], context_s).items()}
    plainly = torch.compiler.set_stance("force_eager")  # what is compiled is not counted
    with plainly, FlopCounterMode(display=False) as counter, autocast(network.device.type):
        model.compute_loss(network, batch).total.backward()
    network.zero_grad()
    counts = {str(operation): flops for operation, flops in counter.get_flop_counts()["Global"].items()}
    again = sum(flops for name, flops in counts.items() if "scaled_dot_product" in name and "backward" in name) / 5
    return float(counter.get_total_flops() - again)


def _name_device(device: str) -> str:
    return torch.cuda.get_device_name() if device == "cuda" else f"{torch.get_num_threads()} CPU cores"


def _find_peak(device: str) -> float:
    """Operations a second that the device could do."""
    known = [peak for name, peak in _PEAKS.items() if device == "cuda" and name in torch.cuda.get_device_name()]
    return known[0] if known else _measure_peak(device)


def _measure_peak(device: str, times: int = 5) -> float:
    """Of products that are large enough for the device; on a GPU of several, so that launching them does not count."""
    size, products = (8192, 20) if device == "cuda" else (2048, 1)
    left, right = (torch.randn(size, size, device=device, dtype=find_type(device)) for _ in range(2))
    best_s = float("inf")
    for _ in range(times):
        begun = time.monotonic()
        for _product in range(products):
            made = left @ right
        float(made[0, 0])  # waits for the device
        best_s = min(best_s, time.monotonic() - begun)
    return products * 2 * size**3 / best_s


def _find_peak_memory(device: str) -> float:
    if device == "cuda":
        return float(torch.cuda.max_memory_allocated() / 1e9)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
