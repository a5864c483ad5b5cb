"""What makes training and evaluation fast, as far as it can be seen without a GPU; `test_gpu.py` has the rest."""

from __future__ import annotations

import copy
import functools
import gc
import time
import weakref
from dataclasses import replace
from typing import Any

import pytest
import torch
import transformers.utils.import_utils
from torch._dynamo.utils import counters
from transformers import WhisperConfig
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.whisper.modeling_whisper import WhisperAttention

from stt_tune.speech import compilation
from stt_tune.speech.batching import make_ahead
from stt_tune.speech.compilation import CompilationClock, compile_layers, note_trained
from stt_tune.speech.decode import measure, measure_at_full_context
from stt_tune.speech.example import SpeechData
from stt_tune.speech.families.attention import Attention
from stt_tune.speech.families.base import SpeechModel
from stt_tune.speech.families.seq2seq import look_back
from stt_tune.speech.families.whisper import WhisperModel
from stt_tune.speech.finetune import TrainingSettings, finetune
from stt_tune.speech.frozen import compute_states, count_bytes, uses_states
from stt_tune.speech.greedy import GreedyDecoder
from stt_tune.speech.hyperparameters import Hyperparameters
from stt_tune.speech.memory import ran_out, spare_modules
from stt_tune.speech.model import load_model
from stt_tune.speech.normalisers import load_normaliser
from stt_tune.speech.precision import copy_in
from stt_tune.speech.report import EpochReport
from stt_tune.speech.use import Use
from tests.speech.graphs import Graphs

_CONTEXT_S = 4.0


def test_what_is_heard_does_not_depend_on_the_order_of_the_utterances(speech: SpeechData, tiny: SpeechModel) -> None:
    network, normalise = tiny.build(), load_normaliser("basic")
    few = speech.dev[:4]
    whole = measure(network, few, tiny, audio_context_s=15.0, normalise=normalise)
    turned = measure(network, few[::-1], tiny, audio_context_s=15.0, normalise=normalise)
    assert [each.id for each in whole.utterances] == [each.id for each in few]
    assert {each.id: each.hypothesis for each in turned.utterances} == {
        each.id: each.hypothesis for each in whole.utterances
    }
    assert any(each.hypothesis for each in whole.utterances)
    assert turned.loss == pytest.approx(whole.loss)


def test_transcripts_written_step_by_step_are_those_of_transformers(
    speech: SpeechData, tiny: WhisperModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = tiny.build().eval()
    batches = [tiny.collate(speech.dev[first : first + 2], _CONTEXT_S) for first in (0, 2, 4)]

    @torch.no_grad()
    def write(decode: GreedyDecoder | None = None) -> list[list[str]]:
        return [tiny.hear(network, batch, 12, decode).texts for batch in batches]

    plain = write()
    assert all(any(texts) for texts in plain)
    decode = GreedyDecoder(network, tiny.prompt, tiny.generation_config)
    assert write(decode) == plain  # the second batch finds the memory of the first
    decode.forget()
    graphs = Graphs(monkeypatch)
    assert write(decode) == plain
    assert graphs.captured == 1
    assert graphs.replayed > 20


def test_a_copy_in_another_type_computes_the_same_and_goes_when_nobody_holds_it(
    speech: SpeechData, tiny: WhisperModel
) -> None:
    settings = TrainingSettings(seed=0, audio_context_s=_CONTEXT_S, normaliser="basic")
    few = replace(speech, train=speech.train[:2], dev=speech.dev[:1])
    trained = finetune({"epochs": 1, "batch_size": 2}, few, tiny, lambda _report: None, settings)
    trained.forward = functools.partial(trained.forward)  # as what a trainer puts around it
    copied = copy_in(torch.bfloat16, trained)
    assert {each.dtype for each in copied.parameters()} == {torch.bfloat16}
    assert copied.proj_out.weight is copied.model.decoder.embed_tokens.weight
    batch = tiny.collate(speech.dev[:2], _CONTEXT_S)
    with torch.no_grad():
        ours = tiny.compute_loss(copied, {**batch, "input_features": batch["input_features"].bfloat16()})
        # in bf16, too: how far that is from float32 differs between CPUs
        with torch.autocast("cpu", dtype=torch.bfloat16):
            plain = tiny.compute_loss(trained, batch)
    assert copied.model.encoder.layers[0].self_attn.silence.dtype == torch.bfloat16
    assert float(ours.total) == pytest.approx(float(plain.total), rel=0.02)
    held = weakref.ref(copied)
    gc.disable()
    try:
        del copied
        assert held() is None
    finally:
        gc.enable()


def test_what_was_alive_before_the_first_training_is_not_searched_for_garbage_and_later_trainings_are() -> None:
    spare_modules()
    spared = gc.get_freeze_count()
    assert spared > 100_000
    spare_modules()
    assert gc.get_freeze_count() <= spared


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be reported asynchronously"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
        RuntimeError("Triton Error [CUDA]: out of memory"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
    ],
)
def test_memory_that_has_run_out_is_told_from_other_errors(error: RuntimeError) -> None:
    assert ran_out(error)
    assert not ran_out(RuntimeError("CUDA error: an illegal memory access was encountered"))


def test_memory_that_ran_out_in_a_capture_is_told_from_what_captures_else_fail_by() -> None:
    for before, expected in (("CUDA out of memory", True), ("CUDA error: operation not permitted", False)):
        failed = RuntimeError("CUDA error: operation failed due to a previous error during capture")
        failed.__context__ = RuntimeError(before)
        assert ran_out(failed) == expected
    later = RuntimeError("a mistake in what frees memory")
    later.__context__ = torch.OutOfMemoryError("CUDA out of memory")
    assert not ran_out(later)


def test_what_is_made_ahead_comes_in_order_one_ahead() -> None:
    begun: list[int] = []

    def make(item: int) -> int:
        begun.append(item)
        if item == 3:
            raise ValueError("three")
        return 10 * item

    made = make_ahead(make, range(5))
    assert next(made) == 0
    assert list(make_ahead(make, [])) == []
    assert [next(made), next(made)] == [10, 20]
    with pytest.raises(ValueError, match="three"):
        next(made)


def test_what_goes_to_a_gpu_has_half_the_bytes(
    speech: SpeechData, tiny: WhisperModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = tiny.collate_audio(speech.dev[:2], _CONTEXT_S)["input_features"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_asked: True)
    narrow = tiny.collate_audio(speech.dev[:2], _CONTEXT_S)["input_features"]
    assert torch.equal(narrow, plain.bfloat16())


@pytest.mark.parametrize(("queries", "keys"), [(600, 600), (2500, 2500), (1, 1500), (5, 20)])
def test_attention_by_products_is_that_of_torch(queries: int, keys: int, tiny: WhisperModel) -> None:
    network: Any = tiny.build()
    attention = network.model.decoder.layers[0].encoder_attn
    attend = ALL_ATTENTION_FUNCTIONS[attention.config._attn_implementation]
    query, key, value = (torch.randn(2, 3, count, 8) for count in (queries, keys, keys))
    expected = torch.nn.functional.scaled_dot_product_attention(query, key, value, scale=0.5).transpose(1, 2)
    narrow = [each.bfloat16() for each in (query, key, value)]
    learning, _none = attend(attention, *narrow, None, scaling=0.5)
    with torch.no_grad():
        heard, _none = attend(attention, *narrow, None, scaling=0.5)
    for each in (learning, heard):
        torch.testing.assert_close(each.float(), expected, rtol=0.05, atol=0.05)
    assert network.model.decoder.layers[0].self_attn.config._attn_implementation == "sdpa"


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("is_masked", [False, True])
@pytest.mark.parametrize("is_crossed", [False, True])
def test_attention_without_copies_is_that_of_transformers(is_causal: bool, is_masked: bool, is_crossed: bool) -> None:
    config = WhisperConfig(attn_implementation="sdpa")
    plain = WhisperAttention(128, 2, is_causal=is_causal, layer_idx=0, config=config)
    quick = copy.deepcopy(plain)
    quick.__class__ = Attention
    states = torch.randn(3, 20, 128)
    given = {
        "attention_mask": torch.randn(20, 20) if is_masked else None,
        "key_value_states": torch.randn(3, 20, 128) if is_crossed else None,
    }
    results = []
    for attention in (plain, quick):
        attended, _weights = attention(states, **given)
        attended.square().sum().backward()
        results.append([attended, *(each.grad for each in attention.parameters())])
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)


def test_the_residual_stream_lies_position_by_position(speech: SpeechData, tiny: WhisperModel) -> None:
    network: Any = tiny.build()
    layers: Any = network.model.encoder.layers
    seen: list[torch.Tensor] = []
    layers[1].register_forward_pre_hook(lambda _layer, args: seen.append(args[0]))
    tiny.compute_loss(network, tiny.collate(speech.train[:2], _CONTEXT_S))
    assert seen[0].is_contiguous()


def test_a_pass_does_the_same_and_is_not_compiled_anew_while_it_is_captured(
    speech: SpeechData, tiny: WhisperModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    network: Any = tiny.build()

    def run(network: Any = network, context_s: float = _CONTEXT_S) -> Any:
        batch = tiny.collate(speech.train[:2], context_s)
        tiny.fit(network, batch)
        inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
        mask = look_back(batch["decoder_input_ids"])
        return network(**inputs, decoder_attention_mask=mask, use_cache=False).logits

    whole = tiny.collate(speech.train[:2], _CONTEXT_S)
    tiny.fit(network, whole)
    plain = network(**{name: tensor for name, tensor in whole.items() if name != "labels"}).logits
    torch.testing.assert_close(run(), plain, rtol=1e-3, atol=1e-3)
    compile_layers(network, backend="eager")
    counters.clear()
    torch.testing.assert_close(run(), plain, rtol=1e-3, atol=1e-3)
    compiled = counters["stats"]["unique_graphs"]
    assert 2 <= compiled < len(network.model.encoder.layers) + len(network.model.decoder.layers)  # one of a kind
    # what transformers asks; while a graph is captured nothing can be compiled
    monkeypatch.setattr(transformers.utils.import_utils, "is_cuda_stream_capturing", lambda: True)
    run()
    assert counters["stats"]["unique_graphs"] == compiled
    # nor for the network of the next trial
    other = tiny.build()
    compile_layers(other, backend="eager")
    run(other)
    assert counters["stats"]["unique_graphs"] == compiled
    # with the second length it is compiled for all
    monkeypatch.undo()
    run(context_s=3.0)
    compiled = counters["stats"]["unique_graphs"]
    for context_s in (2.0, 2.5, 3.5, _CONTEXT_S):
        run(context_s=context_s)
        assert counters["stats"]["unique_graphs"] == compiled


def test_layers_that_drop_as_much_or_little_as_they_like_are_compiled_once(
    small_model: str, speech: SpeechData
) -> None:
    model = load_model(small_model)
    assert isinstance(model, WhisperModel)
    batches = [model.collate(speech.train[:count], length) for count in (4, 3) for length in (2.0, 3.0, 4.0)]
    graphs: list[int] = []

    def train(dropout: float) -> list[float]:
        network = model.build({"dropout": dropout}).train()
        compile_layers(network, backend="eager")
        losses = [float(model.compute_loss(network, batch).total.detach()) for batch in (*batches, *batches)]
        graphs.append(counters["stats"]["unique_graphs"])
        return losses

    still = train(0.0)
    assert still[: len(batches)] == pytest.approx(still[len(batches) :], rel=1e-6)
    for dropout in (0.3, 0.1, 0.2, 0.4, 0.05):
        drawn = train(dropout)
        assert len(set(drawn)) == len(drawn)
    assert len(set(graphs[1:])) == 1
    assert train(0.0) == pytest.approx(still, rel=1e-6)
    assert len(set(graphs[1:])) == 1


def test_dropout_by_tensor_drops_its_share_and_keeps_the_mean(tiny: WhisperModel) -> None:
    layer: Any = tiny.build({"dropout": 0.25}).get_encoder().layers[0]  # type: ignore[no-untyped-call]
    layer.fc2 = torch.nn.Identity()
    compilation._drop_by_tensor(layer)
    ones = torch.ones(400, 500)
    dropped = layer.train().fc2(ones)
    assert float((dropped == 0).float().mean()) == pytest.approx(0.25, abs=0.01)
    assert float(dropped.mean()) == pytest.approx(1, abs=0.01)
    assert layer.fc2(ones.bfloat16()).dtype == torch.bfloat16
    assert torch.equal(layer.eval().fc2(ones), ones)


def test_layers_are_compiled_once_that_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(compilation, "_trained_s", 0.0)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def train(steps: int, step_s: float) -> list[int]:
        clock, compiled = CompilationClock(), []
        for step in range(steps):
            if clock.is_time(step, steps):
                compiled.append(step)
            now[0] += step_s
        return compiled

    assert train(100, 1.0) == []  # 20 s would be saved, for 45
    assert train(100, 1.0) == []
    assert train(100, 1.0) == [15]
    assert train(100, 1.0) == [0]
    monkeypatch.setattr(compilation, "_trained_s", 0.0)
    assert train(1000, 1.0) == [15]
    monkeypatch.setattr(compilation, "_trained_s", 0.0)
    assert train(10, 100.0) == []  # over before it is known
    note_trained(3600)
    assert train(10, 1.0) == [0]


@pytest.mark.parametrize(
    ("use", "cores", "count"),
    [
        (Use(memory=0.05, time=0.1), 16, 10),
        (Use(memory=0.05, time=0.0), 64, 16),
        (Use(memory=0.05, time=0.1), 4, 4),
        (Use(memory=0.3, time=0.1), 16, 3),
        (Use(memory=0.9, time=0.1), 16, 1),
        (Use(memory=1.1, time=1.0), 0.5, 1),
        (Use(memory=0.05, time=1.0), 16, 1),
    ],
)
def test_as_many_trials_share_a_gpu_as_its_memory_its_units_and_the_cores_hold(
    use: Use, cores: float, count: int
) -> None:
    assert use.count(cores) == count


def test_a_frozen_encoder_that_has_run_once_trains_as_one_that_is_run(speech: SpeechData, tiny: WhisperModel) -> None:
    settings = TrainingSettings(seed=0, audio_context_s=_CONTEXT_S, normaliser="basic")
    few = replace(speech, train=speech.train[:8], dev=speech.dev[:4])
    known = compute_states(tiny, few, _CONTEXT_S)
    assert known.dev[0].states is not None
    assert known.dev[0].states.nbytes * 12 == count_bytes(tiny, few, _CONTEXT_S)
    assert known.test[0].states is None  # measured at another context
    curves: list[list[EpochReport]] = []
    for data in (few, known):
        curves.append([])
        configuration = {"learning_rate": 1e-4, "batch_size": 4, "epochs": 2, "freeze": "encoder"}
        network = finetune(configuration, data, tiny, curves[-1].append, settings)
        assert torch.equal(network.model.encoder.conv1.weight, torch.tensor(tiny.weights["model.encoder.conv1.weight"]))
    for plain, ours in zip(*curves, strict=True):
        assert ours.train_loss == pytest.approx(plain.train_loss, rel=0.02)
        assert ours.dev_loss == pytest.approx(plain.dev_loss, rel=0.02)
    whole = measure_at_full_context(network, known.dev, tiny, "basic")
    assert whole == measure_at_full_context(network, few.dev, tiny, "basic")


@pytest.mark.parametrize(
    ("chosen", "is_used"),
    [
        ({"freeze": "encoder"}, True),
        ({"freeze": "encoder", "mask_time_prob": 0.1}, False),
        ({"freeze": "feature_encoder"}, False),
        ({}, False),
    ],
)
def test_an_encoder_is_run_where_it_learns_or_hears_something_else_each_time(
    chosen: dict[str, float], is_used: bool, tiny: SpeechModel
) -> None:
    assert uses_states(Hyperparameters.from_mapping(chosen), tiny) == is_used
