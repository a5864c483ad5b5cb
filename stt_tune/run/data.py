"""Load and check the speech of a run: model, manifest, splits, features."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stt_tune.errors import SettingsError
from stt_tune.progress import say
from stt_tune.run.settings import TuneSettings
from stt_tune.run.speech_trial import SpeechTask
from stt_tune.speech.features import prepare
from stt_tune.speech.finetune import TrainingSettings
from stt_tune.speech.manifest import Utterance, hash_data, read_manifest, reject
from stt_tune.speech.model import SpeechModel, load_model
from stt_tune.speech.normalisers import load_normaliser
from stt_tune.speech.splits import assign_splits

# Trained at 4 s, a low learning rate has not mended by the last epoch what the short context
# breaks; from 10 s on, the WER at the full 30 s is that of longer contexts (real digit strings,
# 234 cases: 0.108 at 4 s, 0.084 at 10 s and at 15 s, all at 1e-5).
_LEAST_CONTEXT_S = 10


@dataclass(frozen=True)
class PreparedSpeech:
    """Everything that trials share, and what is to be recorded of it.

    Attributes:
        task: Data, model and settings for the trials.
        data_hash: Changes when ids, splits, transcripts or audio do.
        split_by: `manifest`, `speaker` or `utterance`.
        rejected: Bad rows that were set aside, as JSON lines.
    """

    task: SpeechTask
    data_hash: str
    split_by: str
    rejected: list[str]

    def facts(self) -> dict[str, Any]:
        """What `run.json` records."""
        data = self.task.data
        return {
            "data_hash": self.data_hash,
            "split_by": self.split_by,
            "utterances": {"train": len(data.train), "dev": len(data.dev), "test": len(data.test)},
            "rejected": len(self.rejected),
            "audio_context_s": self.task.settings.audio_context_s,
            "held_out_audio_context_s": self.task.model.max_context_s,
        }


def load_speech(settings: TuneSettings) -> PreparedSpeech:
    """Load the model, check the manifest, divide it, and compute features.

    Raises:
        SttTuneError: The model or the data cannot be used; all bad rows are told at once.
    """
    path = Path(settings.data)
    model = load_model(settings.model, language=settings.language)
    utterances, rejected = read_manifest(
        path, max_duration_s=model.max_context_s, normalise=load_normaliser(settings.normaliser)
    )
    if rejected and not settings.skip_bad:
        raise reject(path, rejected)
    utterances, split_by = assign_splits(utterances, settings.seed)
    context_s = _choose_context(settings, utterances, model)
    counts = Counter(utterance.split for utterance in utterances)
    say(
        f"{counts['train']} train, {counts['dev']} dev and {counts['test']} test utterances, split by {split_by}; "
        f"training at {context_s:g} s of audio context, held-out speech measured at {model.max_context_s:g} s"
    )
    task = SpeechTask(
        data=prepare(utterances, model),
        model=model,
        settings=TrainingSettings(seed=settings.seed, audio_context_s=context_s, normaliser=settings.normaliser),
    )
    lines = [json.dumps({"line": bad.line, "reason": bad.reason}, ensure_ascii=False) for bad in rejected]
    return PreparedSpeech(task, hash_data(utterances), split_by, lines)


def _choose_context(settings: TuneSettings, utterances: list[Utterance], model: SpeechModel) -> float:
    longest_s = max(utterance.duration_s for utterance in utterances)
    if settings.audio_context_s is None:
        return min(max(math.ceil(longest_s), _LEAST_CONTEXT_S), model.max_context_s)
    if not longest_s <= settings.audio_context_s <= model.max_context_s:
        raise SettingsError(
            f"--audio-context must hold the longest clip ({longest_s:.1f} s) and be at most "
            f"{model.max_context_s:g} s, found {settings.audio_context_s:g}."
        )
    return settings.audio_context_s
