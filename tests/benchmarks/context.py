"""At which context a Whisper is as good at 30 s after training as one that was trained at 30 s, and what it costs.

    30 s:               as published recipes have it;
    10 s, cut:          the encoder's positions cut off behind 10 s, or behind the longest clip;
    clip, cut:          cut off behind the longest clip;
    clip, cut or 30 s:  that, but one batch in eight, drawn at random, is padded to 30 s;
    clip:               the silence behind the longest clip in a few positions that count as many;
    batch:              behind the longest clip of each batch, which holds clips of like length: what the tool does.

Every one is trained with each learning rate and seed; the error rate is of dev and test together, which nothing was
chosen by, at 30 s. The encoder's position table is frozen in all of them.

python -m tests.benchmarks.context MANIFEST [--model tiny.en] [--epochs 2] [--seeds 2] [--settings "30 s" batch]
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from multiprocessing import get_context
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel

from stt_tune.progress import say, track
from stt_tune.results.statistics import compare, find_noise
from stt_tune.run.settings import TuneSettings
from stt_tune.run.speech_trial import SpeechTask
from stt_tune.run.tune import load_prepared
from stt_tune.speech.decode import measure_at_full_context
from stt_tune.speech.example import Example
from stt_tune.speech.families.base import Batch
from stt_tune.speech.families.whisper import WhisperModel
from stt_tune.speech.finetune import finetune

_FRAMES_PER_S = 100
_FULL = "30 s"


class Cut(WhisperModel):
    """Leaves the silence away."""

    def count_positions(self, audio_context_s: float) -> int:
        return round(audio_context_s * _FRAMES_PER_S / 2)

    def choose_positions(self, network: PreTrainedModel, count: int) -> tuple[torch.Tensor, torch.Tensor | None]:
        return torch.arange(count, device=network.device), None


class _Mixed(Cut):
    """Gives one batch in eight all of it."""

    def collate(self, examples: Sequence[Example], audio_context_s: float) -> Batch:
        return super().collate(examples, audio_context_s if torch.rand(()) > 1 / 8 else self.max_context_s)


_task: SpeechTask


def _share(task: SpeechTask) -> None:
    global _task
    _task = task
    torch.set_num_threads(1)


def _settings(clip_s: float) -> dict[str, tuple[type[WhisperModel], float | None]]:
    return {
        _FULL: (WhisperModel, 30.0),
        "10 s, cut": (Cut, max(10.0, clip_s)),
        "clip, cut": (Cut, clip_s),
        "clip, cut or 30 s": (_Mixed, clip_s),
        "clip": (WhisperModel, clip_s),
        "batch": (WhisperModel, None),
    }


def _train(name: str, learning_rate: float, seed: int, epochs: int) -> dict[str, Any]:
    """Train once; give the errors of each utterance at 30 s, and the seconds of the last epoch."""
    data, settings = _task.data, _task.settings
    kind, context_s = _settings(find_longest(_task))[name]
    seconds: list[float] = []
    network = finetune(
        {"learning_rate": learning_rate, "batch_size": 8, "epochs": epochs, "warmup_ratio": 0.1},
        replace(data, dev=data.dev[:1]),  # it is not looked at
        kind(**vars(_task.model)),
        lambda each: seconds.append(each.seconds),
        replace(settings, seed=seed, audio_context_s=context_s),
    )
    heard = measure_at_full_context(network, [*data.dev, *data.test], _task.model, settings.normaliser)
    return {
        "setting": name,
        "learning_rate": learning_rate,
        "seed": seed,
        "seconds": seconds[-1],
        "errors": [each.errors for each in heard],
        "words": sum(each.words for each in heard),
    }


def _train_all(task: SpeechTask, asked: argparse.Namespace) -> Iterator[dict[str, Any]]:
    runs = list(itertools.product(range(asked.seeds), asked.learning_rates, asked.settings))
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn"), _share, (task,)) as pool:
        futures = [pool.submit(_train, name, rate, seed, asked.epochs) for seed, rate, name in runs]
        for future in track(as_completed(futures), "trainings", len(futures)):
            yield future.result()


def _find(results: Sequence[dict[str, Any]], name: str, rate: float) -> list[dict[str, Any]]:
    these = [each for each in results if each["setting"] == name and each["learning_rate"] == rate]
    return sorted(these, key=lambda each: int(each["seed"]))


def _print(results: Sequence[dict[str, Any]], rates: Sequence[float], settings: Sequence[str]) -> None:
    """Print a line a setting: WER at each learning rate, the difference from 30 s over all of them, and seconds."""
    print(f"| trained at | {' | '.join(f'{rate:g}' for rate in rates)} | WER by that of 30 s (95 %) | seconds |")
    errors = {
        name: [np.array([each["errors"] for each in _find(results, name, rate)]) for rate in rates] for name in settings
    }
    words = results[0]["words"]
    # of each seed, the errors at all learning rates together
    together = {name: np.concatenate(by_rate, axis=1) for name, by_rate in errors.items()}
    noise = find_noise(list(together.values()))
    for name, by_rate in errors.items():
        blocks = np.tile(np.arange(together[name].shape[1] // len(rates)), len(rates))
        apart = ""
        if _FULL in together and name != _FULL:
            gain = compare(together[_FULL], together[name], blocks, noise=noise)
            apart = f"{-gain.relative:+.1%} ({-gain.high:+.1%} to {-gain.low:+.1%})"
        seconds = np.mean([each["seconds"] for each in results if each["setting"] == name])
        wers = " | ".join(f"{each.sum(axis=1).mean() / words:.4f}" for each in by_rate)
        print(f"| {name} | {wers} | {apart} | {seconds:.0f} |")


def build_parser(doc: str) -> argparse.ArgumentParser:
    """What is trained on what, for a benchmark with that docstring."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("manifest")
    parser.add_argument("--model", default="tiny.en")
    parser.add_argument("--normaliser", default="digits")
    return parser


def find_longest(task: SpeechTask) -> float:
    """Seconds of the longest clip."""
    return task.model.find_context([*task.data.train, *task.data.dev])


def load_task(asked: argparse.Namespace) -> SpeechTask:
    """Prepare it."""
    return load_prepared(TuneSettings(data=asked.manifest, model=asked.model, normaliser=asked.normaliser)).task


def main() -> None:
    """Train all, and print a table; each training is printed as JSON to standard error as it ends."""
    parser = build_parser(__doc__)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--learning-rates", type=float, nargs="+", default=[1e-5, 5e-5, 2e-4])
    names = list(_settings(0.0))
    parser.add_argument("--settings", nargs="+", choices=names, default=names)
    asked = parser.parse_args()
    task = load_task(asked)
    results = []
    for each in _train_all(task, asked):
        results.append(each)
        say(json.dumps(each))
    _print(results, asked.learning_rates, asked.settings)


if __name__ == "__main__":
    main()
