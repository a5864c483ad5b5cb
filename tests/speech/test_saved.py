"""What is saved of a training, read back by this package and by CTranslate2."""

from __future__ import annotations

from pathlib import Path

import ctranslate2
import numpy as np
import pytest
from transformers import GenerationConfig, WhisperForConditionalGeneration

from stt_tune.errors import ModelError
from stt_tune.speech.decode import measure, measure_at_full_context
from stt_tune.speech.example import SpeechData
from stt_tune.speech.families.base import SpeechModel
from stt_tune.speech.families.whisper import WhisperModel
from stt_tune.speech.finetune import TrainingSettings, finetune
from stt_tune.speech.model import load_model
from stt_tune.speech.normalisers import load_normaliser
from stt_tune.speech.saved import save_as_ctranslate2, save_if_best, save_model, take_best
from tests.speech.families import make_whisper


def test_the_saved_model_gives_the_wer_that_was_reported(speech: SpeechData, tiny: SpeechModel, tmp_path: Path) -> None:
    reports = []
    settings = TrainingSettings(seed=0, audio_context_s=None, normaliser="basic")
    network = finetune({"epochs": 1, "learning_rate": 1e-4, "batch_size": 8}, speech, tiny, reports.append, settings)
    save_model(network, tiny, tmp_path / "transformers")
    save_as_ctranslate2(tmp_path / "transformers", tmp_path / "ctranslate2")
    normalise = load_normaliser("basic")
    for folder in ("transformers", "ctranslate2"):
        model = load_model(str(tmp_path / folder))
        heard = measure(model.build(), speech.dev, model, audio_context_s=None, normalise=normalise)
        errors, words = (sum(getattr(each, name) for each in heard.utterances) for name in ("errors", "words"))
        assert errors / words == pytest.approx(reports[-1].wer, abs=0 if folder == "transformers" else 0.02)


def test_ctranslate2_itself_hears_with_the_converted_model(
    speech: SpeechData, tiny: SpeechModel, tmp_path: Path
) -> None:
    save_model(tiny.build(), tiny, tmp_path / "transformers")
    save_as_ctranslate2(tmp_path / "transformers", tmp_path / "ctranslate2")
    engine = ctranslate2.models.Whisper(str(tmp_path / "ctranslate2"), device="cpu")
    some = speech.dev[:4]
    features = tiny.collate(some, 30)["input_features"].numpy()
    assert isinstance(tiny, WhisperModel)
    written = engine.generate(
        ctranslate2.StorageView.from_array(features), [list(tiny.prompt)] * len(some), beam_size=1
    )
    theirs = [tiny.tokenizer.decode(each.sequences_ids[0], skip_special_tokens=True) for each in written]
    ours = measure(tiny.build(), some, tiny, audio_context_s=30, normalise=load_normaliser("none"))
    assert [" ".join(text.split()) for text in theirs] == [each.hypothesis for each in ours.utterances]


def test_a_converted_checkpoint_is_saved_so_that_others_can_use_it(
    speech: SpeechData, tiny: SpeechModel, tmp_path: Path
) -> None:
    """CTranslate2's folders have no generation config; without one, transformers cuts every transcript at 20 tokens."""
    network = tiny.build()
    save_model(network, tiny, tmp_path)
    generation = GenerationConfig.from_pretrained(tmp_path)
    assert (generation.max_length, generation.is_multilingual) == (448, False)
    assert generation.no_timestamps_token_id == tiny.prompt[-1]
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o644}
    loaded = WhisperForConditionalGeneration.from_pretrained(tmp_path)
    example = max(speech.test, key=lambda each: len(each.labels))
    features = tiny.collate([example], 30)["input_features"]
    text = tiny.tokenizer.batch_decode(loaded.generate(features), skip_special_tokens=True)[0]
    (heard,) = measure_at_full_context(network, [example], tiny, "basic")
    assert load_normaliser("basic")(text) == heard.hypothesis


def test_a_multilingual_checkpoint_keeps_how_it_is_decoded(tiny: SpeechModel, tmp_path: Path) -> None:
    make_whisper(tiny, vocabulary=51865)(tmp_path / "published")
    published = GenerationConfig.from_pretrained(tmp_path / "published")
    languages = {"<|de|>": 50261}
    for name, value in {"language": "de", "task": "transcribe", "lang_to_id": languages}.items():
        setattr(published, name, value)
    published._from_model_config = False  # as in published checkpoints; transformers would make it anew
    published.save_pretrained(tmp_path / "published")
    model = load_model(str(tmp_path / "published"), language="de")
    network = model.build()
    assert not hasattr(network.generation_config, "lang_to_id")
    save_model(network, model, tmp_path / "saved")
    saved = WhisperForConditionalGeneration.from_pretrained(tmp_path / "saved").generation_config
    assert (saved.language, saved.task, saved.lang_to_id) == ("de", "transcribe", languages)
    assert not hasattr(network.generation_config, "lang_to_id")


def test_only_the_best_trials_weights_are_kept(tiny: SpeechModel, tmp_path: Path) -> None:
    make_whisper(tiny)(tmp_path / "published")
    model = load_model(str(tmp_path / "published"))
    network, models = model.build(), tmp_path / "run" / "models"
    for trial, loss in (("a", 0.5), ("b", 0.7), ("c", 0.3), ("d", float("nan")), ("e", 0.3)):
        save_if_best(network, model, models, trial, loss)
    assert {path.name for path in models.iterdir() if path.is_dir()} == {"c", "e"}
    with pytest.raises(ModelError, match=r"a: must hold the best trial's weights, and does not"):
        take_best(models, "a", tmp_path / "run" / "best_model")
    take_best(models, "c", tmp_path / "run" / "best_model")
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"best_model"}
    again = load_model(str(tmp_path / "run" / "best_model"))
    assert all(np.array_equal(again.weights[name], array) for name, array in model.weights.items())


def test_another_trials_weights_are_not_taken_for_the_winners(tmp_path: Path) -> None:
    best = tmp_path / "best_model"

    def take(trial: str) -> None:
        take_best(tmp_path / "models", trial, best)

    def leave(trial: str) -> None:
        (tmp_path / "models" / trial).mkdir(parents=True)
        (tmp_path / "models" / trial / "weights").write_text(f"of {trial}")
        (tmp_path / "models" / trial / "dev.json").write_text("0.2")

    leave("first")
    take("first")
    take("first")  # as after an interrupt
    with pytest.raises(
        ModelError,
        match=r"weights of the best trial, later, which were not kept\. Those of first, .*best_model_of_first",
    ):
        take("later")
    assert not best.exists()
    assert (tmp_path / "best_model_of_first" / "weights").read_text() == "of first"
    leave("last")
    take("last")
    assert (best / "weights").read_text() == "of last"
