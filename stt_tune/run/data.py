"""Load and check the speech of a run: model, manifest, splits, features."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stt_tune.errors import ModelError, SettingsError
from stt_tune.progress import say
from stt_tune.run.profile import profile_data, shorten_profile
from stt_tune.run.settings import TuneSettings
from stt_tune.run.speech_trial import SpeechTask
from stt_tune.speech.families.base import SpeechModel, hash_weights
from stt_tune.speech.features import prepare
from stt_tune.speech.finetune import TrainingSettings
from stt_tune.speech.inspection import telling_of_cache
from stt_tune.speech.manifest import Rejected, Utterance, hash_data, read_sound
from stt_tune.speech.model import load_model
from stt_tune.speech.normalisers import Normalise, describe_normaliser, find_normaliser, load_normaliser
from stt_tune.speech.splits import assign_splits, set_apart_copies, warn_of_splits

_LEAST_BESIDE = {"--replay": 1, "--guard": 2}  # what is measured has to have an interval


@dataclass(frozen=True)
class PreparedSpeech:
    """Everything that trials share, and what is to be recorded of it.

    Attributes:
        task: Data, model and settings for the trials.
        data_hash: Changes when ids, splits, transcripts or audio do.
        model_hash: Changes when the weights do that training starts from.
        split_by: `manifest`, `speaker` or `utterance`.
        beside_hash: The same of what is replayed and of the guard.
        profile: What the data are like.
        rejected: Bad rows that were set aside, as JSON lines.
    """

    task: SpeechTask
    data_hash: str
    beside_hash: str
    model_hash: str
    split_by: str
    profile: Mapping[str, Any]
    rejected: list[str]

    def find_unsuited(self, configuration: Mapping[str, Any]) -> list[str]:
        """Say what of a configuration this model or these data give no meaning, one line a problem."""
        problems = self.task.model.find_unsuited(configuration)
        if configuration.get("replay_ratio") and not self.task.data.replay:
            problems.append("replay_ratio: needs utterances to replay. Name them with --replay MANIFEST.")
        return problems

    def facts(self) -> dict[str, Any]:
        """What `run.json` records."""
        data, model = self.task.data, self.task.model
        contexts = {
            "audio_context_s": self.task.settings.audio_context_s,
            "held_out_audio_context_s": model.max_context_s,
        }
        return {
            "data_hash": self.data_hash,
            "beside_hash": self.beside_hash,
            "model_hash": self.model_hash,
            "split_by": self.split_by,
            "utterances": {"train": len(data.train), "dev": len(data.dev), "test": len(data.test)},
            "data_profile": shorten_profile(self.profile),
            "rejected": len(self.rejected),
            "replay": len(data.replay),
            "guard": len(data.guard),
            "normaliser": describe_normaliser(self.task.settings.normaliser),
            **(contexts if model.has_fixed_context else {}),
        }


@telling_of_cache()
def load_speech(settings: TuneSettings) -> PreparedSpeech:
    """Load the model, check the manifest, divide it, and compute features.

    Raises:
        SttTuneError: The model or the data cannot be used; all bad rows are told at once.
    """
    model = load_model(settings.model, language=settings.language)
    model_hash = hash_weights(model)
    normaliser = find_normaliser(settings.normaliser, settings.language)
    normalise = load_normaliser(normaliser)
    utterances, rejected = _read(settings.data, settings, model, normalise)
    utterances, split_by = assign_splits(utterances, settings.seed, normalise)
    utterances = set_apart_copies(utterances, skip=settings.skip_bad)
    guard = _read_beside("--guard", settings.guard, settings, model, normalise, utterances)
    measured = [*(each for each in utterances if each.split != "train"), *guard]
    replay = _read_beside("--replay", settings.replay, settings, model, normalise, measured)
    model = _fit_vocabulary(settings, model, [*utterances, *replay])
    _check_context(settings, [*utterances, *replay], model)
    _announce(utterances, split_by, replay, guard, model, settings.audio_context_s)
    for warning in warn_of_splits(utterances, normalise):
        say(warning)
    task = SpeechTask(
        data=prepare(utterances, model, normalise, replay, guard),
        model=model,
        settings=TrainingSettings(seed=settings.seed, audio_context_s=settings.audio_context_s, normaliser=normaliser),
    )
    lines = [bad.to_json() for bad in rejected]
    hashes = hash_data(utterances), hash_data([*replay, *guard]), model_hash
    return PreparedSpeech(task, *hashes, split_by, profile_data(utterances, normalise), lines)


def _announce(
    utterances: list[Utterance],
    split_by: str,
    replay: list[Utterance],
    guard: list[Utterance],
    model: SpeechModel,
    context_s: float | None,
) -> None:
    counts = Counter(utterance.split for utterance in utterances)
    trained = f"{context_s:g} s" if context_s else "the longest clip of each batch"
    at_context = (
        f"; training pads to {trained}, held-out speech is measured at {model.max_context_s:g} s"
        if model.has_fixed_context
        else ""
    )
    say(
        f"{counts['train']} train, {counts['dev']} dev and {counts['test']} test utterances, split by {split_by}"
        f"{f', {len(replay)} to replay' if replay else ''}{f', {len(guard)} to guard' if guard else ''}{at_context}"
    )


def _read(
    source: str, settings: TuneSettings, model: SpeechModel, normalise: Normalise
) -> tuple[list[Utterance], list[Rejected]]:
    return read_sound(
        source,
        skip_bad=settings.skip_bad,
        max_duration_s=model.max_context_s,
        normalise=normalise,
        find_misfit=model.find_misfit,
        split=settings.split if source == settings.data else None,
        columns=settings.columns if source == settings.data else None,
    )


def _read_beside(
    option: str,
    source: str | None,
    settings: TuneSettings,
    model: SpeechModel,
    normalise: Normalise,
    others: list[Utterance],
) -> list[Utterance]:
    """Utterances beside the data, without `others`: nothing is to be measured on what it was trained on."""
    if source is None:
        return []
    found, rejected = _read(source, settings, model, normalise)
    heard = {each.audio_hash for each in others} | {each.clip.stamp() for each in others}
    kept = [each for each in found if heard.isdisjoint(_traces(each))]
    if option == "--replay":
        kept = [each for each in kept if each.split in (None, "train")]
    if len(kept) < _LEAST_BESIDE[option]:
        raise SettingsError(
            f"{option} {source}: must hold utterances that stand nowhere else in this run, found {len(kept)}: "
            f"{len(rejected)} rows are bad, {len(found) - len(kept)} stand in the data or are measured on."
        )
    return kept


def _traces(utterance: Utterance) -> set[str | None]:
    """What tells that two utterances are the same, or of the same file."""
    return {utterance.audio_hash, utterance.clip.stamp() or utterance.id}


def _fit_vocabulary(settings: TuneSettings, model: SpeechModel, utterances: list[Utterance]) -> SpeechModel:
    """Make sure that the model can write every transcript.

    Raises:
        ModelError: It lacks characters, and is not to be given them.
    """
    lacking = model.find_unwritable([each.text for each in utterances])
    if not lacking:
        return model
    told = ", ".join(f"{character!r} ({count} times)" for character, count in lacking.most_common())
    if not settings.extend_vocabulary:
        raise ModelError(
            f"{model.name}: its vocabulary must hold every character of the transcripts, and lacks {told}. "
            "Add them with --extend-vocabulary, or spell the transcripts without."
        )
    say(f"the vocabulary of {model.name} is extended by {told}")
    return model.extend_vocabulary(sorted(lacking))


def _check_context(settings: TuneSettings, utterances: list[Utterance], model: SpeechModel) -> None:
    """Make sure that what clips are to be padded to has a meaning, and holds them.

    Raises:
        SettingsError: It has none, or does not.
    """
    if settings.audio_context_s is None:
        return
    if not model.has_fixed_context:
        raise SettingsError(f"--audio-context: {model.name} takes clips as long as they are. Leave it out.")
    longest_s = max(utterance.duration_s for utterance in utterances)
    if not longest_s <= settings.audio_context_s <= model.max_context_s:
        raise SettingsError(
            f"--audio-context must hold the longest clip ({longest_s:.1f} s) and be at most "
            f"{model.max_context_s:g} s, found {settings.audio_context_s:g}."
        )
