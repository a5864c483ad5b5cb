"""The contract that every model family keeps, on tiny checkpoints with random weights."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from stt_tune.errors import DivergedError, ModelError, TrainingMemoryError
from stt_tune.speech.decode import measure
from stt_tune.speech.example import Example, SpeechData
from stt_tune.speech.families.base import Batch, Loss, SpeechModel
from stt_tune.speech.finetune import TrainingSettings, _mix, finetune
from stt_tune.speech.model import FAMILIES, load_model
from stt_tune.speech.normalisers import load_normaliser
from stt_tune.speech.ranks import ALONE, Ranks
from stt_tune.speech.report import EpochReport
from stt_tune.speech.saved import save_model
from stt_tune.speech.trainer import SpeechTrainer
from tests.speech.families import make_families

_NAMES = (
    "whisper",
    "whisper-multilingual",
    "whisper-128-mel-bins",
    "distil-whisper",
    "moonshine",
    "wav2vec2-base",
    "wav2vec2-large",
    "hubert",
    "wavlm",
    "w2v-bert",
    "parakeet",
)
# The others normalise over the whole length of a batch, without a mask, as their authors' own code does.
_INDEPENDENT = tuple(name for name in _NAMES if name != "wav2vec2-base")
_CONTEXT_S = 4.0
_SETTINGS = TrainingSettings(seed=0, audio_context_s=_CONTEXT_S, normaliser="basic")
_TEXTS = ("one two", "seven eight nine", "four", "three three", "six one", "five zero two", "eight", "two nine")


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory, tiny: SpeechModel) -> Callable[[str], SpeechModel]:
    """Loads the tiny checkpoint of a family; each is made once."""
    makers, loaded = make_families(tiny), {}

    def load(name: str) -> SpeechModel:
        if name not in loaded:
            folder = tmp_path_factory.mktemp(name)
            makers[name](folder)
            loaded[name] = load_model(str(folder))
        return loaded[name]

    return load


@pytest.fixture(params=_NAMES)
def model(request: pytest.FixtureRequest, checkpoints: Callable[[str], SpeechModel]) -> SpeechModel:
    return checkpoints(request.param)


def _example(model: SpeechModel, seconds: float, text: str, seed: int = 0) -> Example:
    samples = np.random.default_rng(seed).normal(0, 0.1, round(seconds * 16_000)).astype(np.float32)
    return Example(f"{text}-{seed}", text, model.compute_features(samples), model.encode(text))


def _speech(model: SpeechModel) -> SpeechData:
    examples = [_example(model, 1.5 + i / 4, text, i) for i, text in enumerate(_TEXTS)]
    return SpeechData(train=examples, dev=examples[:3], test=examples[3:5])


def _train(model: SpeechModel, epochs: int = 2, **options: object) -> tuple[torch.nn.Module, list[EpochReport]]:
    reports: list[EpochReport] = []
    checkpoints = options.pop("checkpoints", None)
    settings = replace(_SETTINGS, audio_context_s=options.pop("audio_context_s", _CONTEXT_S))
    configuration = {"learning_rate": 1e-3, "epochs": epochs, "batch_size": 4, **options}
    network = finetune(configuration, _speech(model), model, reports.append, settings, checkpoints=checkpoints)
    return network, reports


def _state(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}


def _hear(network: torch.nn.Module, model: SpeechModel, context_s: float = _CONTEXT_S) -> tuple[float, list[str]]:
    heard = measure(network, _speech(model).dev, model, audio_context_s=context_s, normalise=load_normaliser("none"))
    return heard.loss, [each.hypothesis for each in heard.utterances]


def test_every_supported_family_is_tested(checkpoints: Callable[[str], SpeechModel]) -> None:
    assert {checkpoints(name).config.model_type for name in _NAMES} == set(FAMILIES)


def test_it_trains_and_decodes(model: SpeechModel) -> None:
    _network, reports = _train(model, epochs=3)
    assert [report.epoch for report in reports] == [1, 2, 3]
    assert reports[-1].train_loss < reports[0].train_loss
    assert all(math.isfinite(report.dev_loss) and math.isfinite(report.wer) for report in reports)


def test_the_same_seed_gives_the_same_weights(model: SpeechModel) -> None:
    options = {
        "dropout": 0.1,
        **({"mask_time_prob": 0.1, "mask_feature_prob": 0.1} if model.knows_spec_augment else {}),
    }
    first, second = (_state(_train(model, **options)[0]) for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    plain = _state(_train(model)[0])
    assert any(not torch.equal(first[name], plain[name]) for name in plain)


def test_a_saved_model_hears_the_same(model: SpeechModel, tmp_path: Path) -> None:
    network, _reports = _train(model, epochs=1)
    save_model(network, model, tmp_path)
    assert list(tmp_path.glob("*.safetensors"))
    again = load_model(str(tmp_path))
    assert _hear(again.build(), again) == _hear(network, model)
    # at the full context, too, which saving has set back
    assert _hear(again.build(), again, again.max_context_s) == _hear(network, model, model.max_context_s)


def test_training_goes_on_from_a_checkpoint_to_the_identical_weights(model: SpeechModel, tmp_path: Path) -> None:
    class _KilledError(Exception):
        pass

    def die(report: EpochReport) -> None:
        if report.epoch == 2:
            raise _KilledError

    whole, reports = _train(model, epochs=3, dropout=0.1)
    configuration = {"learning_rate": 1e-3, "epochs": 3, "batch_size": 4, "dropout": 0.1}
    with pytest.raises(_KilledError):
        finetune(configuration, _speech(model), model, die, _SETTINGS, checkpoints=tmp_path)
    resumed: list[EpochReport] = []
    network = finetune(configuration, _speech(model), model, resumed.append, _SETTINGS, checkpoints=tmp_path)
    assert [report.epoch for report in resumed] == [2, 3]
    assert [replace(report, seconds=0) for report in resumed] == [replace(report, seconds=0) for report in reports[1:]]
    expected = _state(whole)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in _state(network).items())


def test_it_survives_the_shortest_clip_and_one_at_the_limit(model: SpeechModel) -> None:
    examples = [_example(model, 0.2, "a"), _example(model, model.max_context_s, "one two")]
    network = model.build({"mask_time_prob": 0.1} if model.knows_spec_augment else {})
    network.train()
    for batch in ([examples[0]], [examples[1]], examples):
        loss = model.compute_loss(network, model.collate(batch, model.find_context(batch)))
        loss.total.backward()
        assert math.isfinite(float(loss.total.detach()))
    with torch.no_grad():
        assert len(model.hear(network.eval(), model.collate(examples, model.max_context_s), 9).texts) == 2


@pytest.mark.parametrize("model", _INDEPENDENT, indirect=True)
def test_what_a_clip_says_does_not_depend_on_its_neighbours(model: SpeechModel) -> None:
    short, long = _example(model, 1.0, "one two"), _example(model, 3.0, "seven eight nine", 1)
    network = model.build().eval()
    with torch.no_grad():
        alone = model.hear(network, model.collate([short], _CONTEXT_S), 9)
        beside = model.hear(network, model.collate([short, long], _CONTEXT_S), 9)
        other = model.hear(network, model.collate([long], _CONTEXT_S), 9)
    assert beside.texts[0] == alone.texts[0]
    assert float(beside.loss.total) == pytest.approx(float(alone.loss.total) + float(other.loss.total), rel=1e-3)


def test_an_effective_batch_gives_the_same_gradient_however_it_is_divided(model: SpeechModel) -> None:
    examples = _speech(model).train
    network = model.build()
    network.train()
    gradients = []
    for ranks, micro_batch in (([ALONE], 8), ([ALONE], 2), ([Ranks(0, 2), Ranks(1, 2)], 3)):
        network.zero_grad()
        for each in ranks:
            trainer: Any = SimpleNamespace(
                _speech_model=model, _audio_context_s=None, _ranks=each, micro_batch=micro_batch
            )
            for batch in SpeechTrainer._collate(trainer, examples)["micro_batches"]:
                model.compute_loss(network, batch).total.backward()
        gradients.append(torch.cat([each.grad.flatten() for each in network.parameters() if each.grad is not None]))
    whole, *divided = gradients
    for gradient in divided:
        assert float((gradient - whole).norm() / whole.norm()) < 1e-3


def test_an_effective_batch_gives_the_same_loss_however_it_is_divided(model: SpeechModel) -> None:
    _network, whole = _train(model, epochs=1, batch_size=8, audio_context_s=None)
    _network, parts = _train(model, epochs=1, batch_size=2, gradient_accumulation_steps=4, audio_context_s=None)
    assert parts[0].train_loss == pytest.approx(whole[0].train_loss, rel=1e-2)
    assert parts[0].dev_loss == pytest.approx(whole[0].dev_loss, rel=1e-2)


def test_freezing_leaves_what_is_frozen(model: SpeechModel) -> None:
    before = _state(model.build())
    for freeze in ("encoder", "feature_encoder", "none"):
        network, _reports = _train(model, epochs=1, freeze=freeze)
        encoder = dict(model.find_encoder(network).named_parameters())
        ids = {id(each) for each in encoder.values()}
        names = {name for name, each in network.named_parameters() if id(each) in ids}
        stem = {name for name in names if any(f".{part}." in f".{name}" for part in model.feature_encoder)}
        frozen = {"encoder": names, "feature_encoder": stem, "none": set()}[freeze]
        after = _state(network)
        fixed = {name for name, each in model.build().named_parameters() if not each.requires_grad}
        changed = {name for name, each in network.named_parameters() if not torch.equal(after[name], before[name])}
        assert all(torch.equal(each, before[name]) for name, each in network.named_buffers() if name in before)
        assert stem
        assert not changed & (frozen | fixed)
        # something of the rest has moved, in the encoder too where that is free
        assert changed - names
        if freeze != "encoder":
            assert changed & (names - stem)


def test_masks_are_possible_where_the_checkpoint_has_none(
    checkpoints: Callable[[str], SpeechModel], tmp_path: Path
) -> None:
    model = checkpoints("hubert")
    weights = {name: array for name, array in model.weights.items() if not name.endswith("masked_spec_embed")}
    network = replace(model, weights=weights).build({"mask_time_prob": 0.1})
    (embedding,) = (each for name, each in network.named_parameters() if name.endswith("masked_spec_embed"))
    assert 0 <= float(embedding.min()) < float(embedding.max()) <= 1


class _Forgetful:
    """Takes the place of a model's loss, and runs out of memory above a size of batch, as a GPU does."""

    def __init__(self, compute: Callable[..., Loss], most: int) -> None:
        self.sizes: list[int] = []
        self._compute = compute
        self._most = most

    def __call__(self, network: torch.nn.Module, batch: Batch, **options: float) -> Loss:
        self.sizes.append(len(batch["labels"]))
        loss = self._compute(network, batch, **options)
        if len(batch["labels"]) > self._most:
            loss.total.backward()  # some gradients are there already when memory runs out
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return loss


@pytest.mark.parametrize("model", ["whisper", "wavlm"], indirect=True)
def test_when_memory_runs_out_the_step_is_repeated_in_halves(
    model: SpeechModel, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole_network, whole = _train(model, epochs=2, batch_size=8)
    forgetful = _Forgetful(model.compute_loss, most=3)
    monkeypatch.setattr(type(model), "compute_loss", lambda self, *given, **options: forgetful(*given, **options))
    network, reports = _train(model, epochs=2, batch_size=8)
    assert forgetful.sizes == [8, 4, 2, 2, 2, 2, 2, 2, 2, 2]
    assert [report.micro_batch for report in reports] == [2, 2]
    assert [report.micro_batch for report in whole] == [8, 8]
    assert reports[0].train_loss == pytest.approx(whole[0].train_loss, rel=1e-3)
    base, expected, found = _state(model.build()), _state(whole_network), _state(network)
    names = [name for name, each in network.named_parameters() if each.requires_grad]
    moved = sum(float((expected[name] - base[name]).abs().sum()) for name in names)
    apart = sum(float((expected[name] - found[name]).abs().sum()) for name in names)
    assert apart < 0.05 * moved
    assert "memory ran out: going on with 2 utterances in one pass" in capsys.readouterr().err


@pytest.mark.parametrize("model", ["whisper"], indirect=True)
def test_what_was_made_before_memory_ran_out_is_not_tried_as_it_is(
    model: SpeechModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    forgetful = _Forgetful(model.compute_loss, most=3)
    monkeypatch.setattr(type(model), "compute_loss", lambda self, *given, **options: forgetful(*given, **options))
    _train(model, epochs=1, batch_size=4)
    assert forgetful.sizes == [4, 2, 2, 2, 2]


@pytest.mark.parametrize("model", ["whisper", "wavlm", "parakeet"], indirect=True)
def test_when_one_utterance_is_too_much_activations_are_computed_twice(
    model: SpeechModel, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _network, whole = _train(model, epochs=2, batch_size=4)
    compute = model.compute_loss
    sizes: list[int] = []

    def forget(_self: SpeechModel, network: Any, batch: Batch, **options: float) -> Loss:
        sizes.append(len(batch["labels"]))
        if not any(getattr(each, "gradient_checkpointing", False) for each in network.modules()):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return compute(network, batch, **options)

    monkeypatch.setattr(type(model), "compute_loss", forget)
    _network, reports = _train(model, epochs=2, batch_size=4)
    assert sizes[:7] == [4, 2, 1, 1, 1, 1, 1]  # 4 of the first batch are computed; what was fetched ahead is whole
    assert reports[-1].micro_batch == 1
    assert reports[-1].train_loss == pytest.approx(whole[-1].train_loss, rel=2e-2)
    assert "going on slower, with activations computed twice" in capsys.readouterr().err


@pytest.mark.parametrize("model", ["whisper"], indirect=True)
def test_when_not_even_one_utterance_fits_training_says_so(model: SpeechModel, monkeypatch: pytest.MonkeyPatch) -> None:
    forgetful = _Forgetful(model.compute_loss, most=0)
    monkeypatch.setattr(type(model), "compute_loss", lambda self, *given, **options: forgetful(*given, **options))
    with pytest.raises(TrainingMemoryError, match="memory ran out with one utterance at a time"):
        _train(model, epochs=1)


@pytest.mark.parametrize("model", ["whisper", "parakeet"], indirect=True)
def test_the_weights_are_moved_back_to_the_base_models(model: SpeechModel) -> None:
    base, trained = _state(model.build()), _state(_train(model, epochs=1)[0])
    half_network, (report,) = _train(model, epochs=1, base_weight=0.5)
    half = _state(half_network)
    for name, parameter in half_network.named_parameters():
        if parameter.requires_grad:
            assert torch.allclose(half[name], (base[name] + trained[name]) / 2, atol=1e-6), name
    # what is reported is what is kept
    assert report.dev_loss == pytest.approx(_hear(half_network, model)[0], rel=1e-5)


@pytest.mark.parametrize("model", ["hubert", "parakeet"], indirect=True)
def test_new_characters_are_not_moved_back_to_where_they_began(model: SpeechModel) -> None:
    more = model.extend_vocabulary(["ë", "ï"])
    base, trained = _state(more.build()), _state(_train(more, epochs=1)[0])
    half = _state(_train(more, epochs=1, base_weight=0.5)[0])
    heads = [name for name in base if name in ("lm_head.weight", "lm_head.bias", "ctc_head.weight", "ctc_head.bias")]
    assert len(heads) == 2
    for name in heads:
        assert not torch.equal(trained[name][-2:], base[name][-2:])
        assert torch.equal(half[name][-2:], trained[name][-2:])
        assert torch.allclose(half[name][:-2], (base[name][:-2] + trained[name][:-2]) / 2, atol=1e-6)


def test_divergence_is_told(model: SpeechModel) -> None:
    with pytest.raises(DivergedError, match="training diverged in epoch 1"):
        _train(model, learning_rate=1e30)


def test_replayed_utterances_have_their_share() -> None:
    example = Example("a", "one", np.zeros(1, np.float32), [1])
    correct = [replace(example, id=f"replayed-{i}") for i in range(5)]
    data = SpeechData(train=[example] * 12, dev=[], test=[], replay=correct)
    for ratio, expected in ((0.0, 0), (0.25, 4), (0.5, 12)):
        mixed = _mix(data, ratio, seed=0)
        replayed = [each.id for each in mixed if each.id != "a"]
        assert (len(mixed) - len(replayed), len(replayed)) == (12, expected)
        assert len(set(replayed)) == min(expected, 5) or expected > 5
        assert replayed == [each.id for each in _mix(data, ratio, seed=0) if each.id != "a"]


@pytest.mark.parametrize("model", [name for name in _NAMES if name != "wavlm"], indirect=True)
def test_adapters_are_trained_and_merged(model: SpeechModel) -> None:
    base = _state(model.build())
    network, (report,) = _train(model, epochs=1, lora_rank=2, lora_alpha=8, lora_dropout=0.1, learning_rate=1e-2)
    merged = _state(network)
    assert set(merged) == set(base)
    changed = {name for name in base if not torch.equal(merged[name], base[name])}
    buffers = {name for name, _ in network.named_buffers()}
    assert changed - buffers
    assert all("_proj." in name or "linear_" in name for name in changed - buffers)
    assert report.dev_loss == pytest.approx(_hear(network, model)[0], rel=1e-2)


@pytest.mark.parametrize("model", ["whisper", "wavlm", "parakeet"], indirect=True)
def test_adapters_may_sit_in_all_layers(model: SpeechModel) -> None:
    base = _state(model.build())
    after = _state(_train(model, epochs=1, lora_rank=2, lora_targets="all-linear", learning_rate=1e-2)[0])
    changed = {name for name in base if not torch.equal(after[name], base[name])}
    assert any("fc1" in name or "feed_forward" in name for name in changed)


@pytest.mark.parametrize(
    ("model", "configuration", "message"),
    [
        ("parakeet", {"mask_time_prob": 0.1}, "mask_time_prob: parakeet_ctc has no SpecAugment, found 0.1"),
        ("moonshine", {"mask_feature_prob": 0.1}, "mask_feature_prob: moonshine has no SpecAugment"),
        ("hubert", {"label_smoothing_factor": 0.1}, "label_smoothing_factor: the CTC loss has none"),
        ("wavlm", {"lora_rank": 4}, "lora_targets: wavlm's attention passes adapters by. Use all-linear"),
    ],
    indirect=["model"],
)
def test_what_a_family_does_not_know_is_refused(
    model: SpeechModel, configuration: dict[str, float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        _train(model, **configuration)


def test_smoothed_labels_and_schedules_change_the_training(checkpoints: Callable[[str], SpeechModel]) -> None:
    model = checkpoints("whisper")
    plain = _train(model)[1][-1].train_loss
    for change in ({"label_smoothing_factor": 0.2}, {"lr_scheduler_type": "cosine"}, {"mask_time_prob": 0.5}):
        assert _train(model, **change)[1][-1].train_loss != plain


@pytest.mark.parametrize("model", ["wav2vec2-large", "wavlm", "parakeet", "w2v-bert"], indirect=True)
def test_no_layers_are_dropped(model: SpeechModel) -> None:
    assert all(
        getattr(config, "layerdrop", 0) == 0
        for config in (model.build().config, getattr(model.build().config, "encoder_config", None))
        if config is not None
    )


@pytest.mark.parametrize("model", ["hubert", "whisper"], indirect=True)
def test_what_the_family_leaves_untrained_is_its_habit(model: SpeechModel) -> None:
    network, _reports = _train(model, epochs=1)
    before, after = _state(model.build()), _state(network)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    moved = any(part in name.split(".") for name in changed for part in model.feature_encoder)
    assert moved is (model.default_freeze == "none")


@pytest.mark.parametrize("model", ["parakeet", "hubert"], indirect=True)
def test_new_characters_are_written_and_heard(model: SpeechModel) -> None:
    assert model.find_unwritable(["naïve zoë", "zoë"]) == {"ï": 1, "ë": 2}
    more = model.extend_vocabulary(["ë", "ï"])
    assert not more.find_unwritable(["naïve zoë"])
    network = more.build()
    frames = [token for label in more.encode("naïve zoë one") for token in (label, label, more.config.pad_token_id)]
    assert more.tokenizer.decode(frames) == "naïve zoë one"
    loss = more.compute_loss(network, more.collate([_example(more, 2.0, "naïve zoë")], _CONTEXT_S))
    assert math.isfinite(float(loss.total.detach()))


def test_new_characters_take_rows_that_stand_for_no_token(tiny: SpeechModel, tmp_path: Path) -> None:
    make_families(tiny)["hubert"](tmp_path)
    weights, path = load_file(tmp_path / "model.safetensors"), tmp_path / "config.json"
    tokens = len(weights["lm_head.bias"])
    more = torch.full((3, weights["lm_head.weight"].shape[1]), 9.0)
    weights |= {"lm_head.weight": torch.cat([weights["lm_head.weight"], more])}
    weights |= {"lm_head.bias": torch.cat([weights["lm_head.bias"], torch.full((3,), 9.0)])}
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    path.write_text(json.dumps({**json.loads(path.read_text()), "vocab_size": tokens + 3}))
    for characters, rows in ((["ë", "ï"], tokens + 3), (["ë", "ï", "ö", "ü"], tokens + 4)):
        model = load_model(str(tmp_path)).extend_vocabulary(characters)
        head = model.weights["lm_head.weight"]
        assert (len(head), model.build().config.vocab_size) == (rows, rows)
        assert model.encode("".join(characters)) == list(range(tokens, tokens + len(characters)))
        assert np.array_equal(head[:tokens], weights["lm_head.weight"][:tokens])
        assert np.abs(head[tokens : tokens + len(characters)]).max() < 0.2  # as new ones are
        assert np.abs(model.weights["lm_head.bias"][tokens : tokens + len(characters)]).max() < 0.2
        _network, (report,) = _train(model, epochs=1)
        assert math.isfinite(report.dev_loss)


def test_forced_tokens_of_a_checkpoint_are_not_forced(tiny: SpeechModel, tmp_path: Path) -> None:
    make_families(tiny)["whisper-multilingual"](tmp_path)
    path = tmp_path / "generation_config.json"
    published = {**json.loads(path.read_text()), "forced_decoder_ids": [[1, 50261]], "suppress_tokens": [1, 2]}
    path.write_text(json.dumps({**published, "_from_model_config": False}))
    decoding = load_model(str(tmp_path)).build().generation_config
    assert getattr(decoding, "forced_decoder_ids", None) is None
    assert decoding.suppress_tokens == [1, 2]


@pytest.mark.parametrize("model", ["hubert"], indirect=True)
def test_when_memory_runs_out_fewer_are_measured_at_a_time(model: SpeechModel, monkeypatch: pytest.MonkeyPatch) -> None:
    network, hear, sizes = model.build(), model.hear, []
    expected = _hear(network, model)

    def hear_few(_self: SpeechModel, network: torch.nn.Module, batch: Batch, longest: int) -> object:
        sizes.append(len(batch["labels"]))
        if sizes[-1] > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return hear(network, batch, longest)

    monkeypatch.setattr(type(model), "hear", hear_few)
    most = 1
    loss, texts = _hear(network, model)
    assert sizes == [3, 2, 1, 1, 1]
    assert texts == expected[1]
    assert loss == pytest.approx(expected[0], rel=1e-3)
    most = 0
    with pytest.raises(TrainingMemoryError, match="memory ran out with one utterance at a time"):
        _hear(network, model)


@pytest.mark.parametrize("model", ["whisper", "moonshine"], indirect=True)
def test_a_transcript_longer_than_the_decoder_is_told(model: SpeechModel) -> None:
    assert model.find_misfit(5.0, "one two three") is None
    told = model.find_misfit(5.0, "q " * 500)
    assert told is not None
    assert re.fullmatch(r"has a transcript of \d+ tokens, the model writes at most \d+", told)


@pytest.mark.parametrize("model", ["moonshine"], indirect=True)
def test_a_clip_that_the_encoder_makes_nothing_of_is_told(model: SpeechModel) -> None:
    assert model.find_misfit(894 / 16_000, "one") == "lasts 0.056 s, the model hears nothing below 0.056 s"
    shortest = 895 / 16_000
    assert model.find_misfit(shortest, "one") is None
    network = model.build()
    for seconds in ((shortest,), (shortest, 2.0)):
        batch = model.collate([_example(model, each, "one") for each in seconds], _CONTEXT_S)
        assert math.isfinite(float(model.compute_loss(network, batch).total.detach()))


@pytest.mark.parametrize("model", ["whisper"], indirect=True)
def test_any_audio_context_will_do(model: SpeechModel) -> None:
    for context_s in (1.01, 10.25, 12.75):
        network = model.build()
        batch = model.collate([_example(model, 1.0, "one")], context_s)
        assert math.isfinite(float(model.compute_loss(network, batch).total.detach()))


def test_a_checkpoint_that_lacks_layers_is_refused(tiny: SpeechModel, tmp_path: Path) -> None:
    make_families(tiny)["hubert"](tmp_path)
    path = tmp_path / "model.safetensors"
    weights = load_file(path)
    save_file({name: tensor for name, tensor in weights.items() if not name.startswith("lm_head")}, path)
    with pytest.raises(ModelError, match=r"must hold every layer, and lacks lm_head.bias, lm_head.weight"):
        load_model(str(tmp_path))
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ModelError, match="must hold a complete transformers or CTranslate2 model"):
        load_model(str(tmp_path))
    config = tmp_path / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "hidden_size": "wide"}))
    with pytest.raises(ModelError, match="must hold a complete transformers or CTranslate2 model"):
        load_model(str(tmp_path))


@pytest.mark.parametrize("model", ["hubert"], indirect=True)
def test_adapters_leave_new_characters_to_be_learned(model: SpeechModel) -> None:
    more = model.extend_vocabulary(["ë"])
    for targets in ("attention", "all-linear"):
        network, _reports = _train(more, epochs=1, lora_rank=2, lora_targets=targets, learning_rate=1e-2)
        assert not torch.equal(network.lm_head.weight[-1], torch.tensor(more.weights["lm_head.weight"][-1]))
    assert model.find_unsuited({"lora_rank": 4, "freeze": "encoder"}) == [
        "freeze: the adapters are in the encoder, so nothing would be trained. Leave it out."
    ]
