from __future__ import annotations

import http.server
import json
import shutil
import struct
import threading
from pathlib import Path

import huggingface_hub.constants
import numpy as np
import pytest
import torch

from stt_tune.errors import HubUnreachableError, ModelError, SettingsError
from stt_tune.speech.ctranslate2 import _dequantise, read_whisper
from stt_tune.speech.decode import measure
from stt_tune.speech.families.base import SpeechModel
from stt_tune.speech.families.silence import POSITIONS
from stt_tune.speech.families.whisper import WhisperModel
from stt_tune.speech.features import prepare
from stt_tune.speech.manifest import read_clip, read_manifest
from stt_tune.speech.model import load_model
from stt_tune.speech.normalisers import load_normaliser
from stt_tune.speech.packaged import find_packaged_folder
from stt_tune.speech.rates import summarise
from tests.speech.families import make_whisper


def test_the_converted_checkpoint_transcribes_real_speech(tiny: SpeechModel, digits: Path) -> None:
    """The utterances that the original model gets right, the converted one gets right, too."""
    normalise = load_normaliser("digits")
    utterances, _ = read_manifest(digits / "correct.jsonl", max_duration_s=30, normalise=normalise)
    some = [each for each in utterances if each.split == "test"][:24]
    data = prepare(some, tiny, normalise)
    heard = measure(tiny.build(), data.test, tiny, audio_context_s=30, normalise=normalise)
    assert summarise(heard.utterances).wer <= 0.01


def test_every_weight_is_converted(tiny: SpeechModel) -> None:
    expected = {name: tuple(tensor.shape) for name, tensor in tiny.build().state_dict().items()}
    found = {name: array.shape for name, array in tiny.weights.items()}
    expected.pop("proj_out.weight")  # tied to the token embedding
    assert found == expected


def test_a_folder_in_ctranslate2_format_is_a_model(tmp_path: Path, tiny: SpeechModel) -> None:
    folder = tmp_path / "served"
    shutil.copytree(find_packaged_folder(), folder)
    model = load_model(str(folder))
    assert all(np.array_equal(model.weights[name], array) for name, array in tiny.weights.items())
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"must hold tokenizer.json"):
        load_model(str(folder))


def test_a_saved_transformers_folder_gives_the_same_transcripts(tmp_path: Path, tiny: SpeechModel) -> None:
    network = tiny.build()
    network.save_pretrained(tmp_path)
    tiny.tokenizer.save_pretrained(tmp_path)
    tiny.feature_extractor.save_pretrained(tmp_path)
    model = load_model(str(tmp_path))
    assert isinstance(model, WhisperModel)
    assert isinstance(tiny, WhisperModel)
    assert model.prompt == tiny.prompt
    assert model.generation_config.suppress_tokens == tiny.generation_config.suppress_tokens
    assert all(np.array_equal(model.weights[name], array) for name, array in tiny.weights.items())


def test_a_damaged_ctranslate2_file_is_refused(tmp_path: Path) -> None:
    shutil.copytree(find_packaged_folder(), tmp_path / "cut")
    weights = tmp_path / "cut" / "model.bin"
    whole = weights.read_bytes()
    for length in (100, len(whole) // 2):
        weights.write_bytes(whole[:length])
        with pytest.raises(ModelError, match="cut off"):
            load_model(str(tmp_path / "cut"))
    weights.write_bytes(struct.pack("<I", 3) + whole[4:])
    with pytest.raises(ModelError, match=r"binary version must be one of \(5, 6\), found 3"):
        load_model(str(tmp_path / "cut"))
    weights.write_bytes(whole[:4] + struct.pack("<H", 16) + b"TransformerSpec\0" + whole[18:])
    with pytest.raises(ModelError, match=r"must be a Whisper \(WhisperSpec\), found TransformerSpec"):
        read_whisper(tmp_path / "cut")


def test_quantised_weights_are_scaled_back() -> None:
    weight = np.array([[0.5, -1.0], [2.0, 4.0]], dtype=np.float32)
    scale = 127 / np.abs(weight).max(axis=1)
    rounded = np.round(weight * scale[:, None]).astype(np.int8)
    assert _dequantise(rounded, scale) == pytest.approx(weight, abs=0.02)
    assert _dequantise(np.array([100, 50], np.int16), np.float32(100)) == pytest.approx([1.0, 0.5])


def test_multilingual_models_are_told_language_and_task(tmp_path: Path, tiny: SpeechModel) -> None:
    # hubs are unreachable in tests: the architecture is real, its weights are random, and the
    # tokenizer is the English one, whose language tokens have the same names
    make_whisper(tiny, vocabulary=51865)(tmp_path)
    prompt = load_model(str(tmp_path), language="de").prompt
    assert tiny.tokenizer.convert_ids_to_tokens(list(prompt)) == [
        "<|startoftranscript|>",
        "<|de|>",
        "<|transcribe|>",
        "<|notimestamps|>",
    ]
    with pytest.raises(SettingsError, match=r"--language must be a code that the model knows, found 'klingon'"):
        load_model(str(tmp_path), language="klingon")


def _move_hub(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Let the hub be elsewhere: it is read from the environment only when the library is loaded."""
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", url)
    template = f"{url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


def test_other_families_and_unknown_models_are_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "speech_to_text"}))
    with pytest.raises(ModelError, match=r"must be one of whisper, moonshine, .* parakeet_ctc; found speech_to_text"):
        load_model(str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "no-such-family"}))
    with pytest.raises(ModelError, match="must hold a complete transformers or CTranslate2 model"):
        load_model(str(tmp_path))
    with pytest.raises(ModelError, match="'no-such-model' is none of these"):
        load_model("no-such-model")
    _move_hub(monkeypatch, "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _seconds: None)  # 23 s between six tries
    with pytest.raises(HubUnreachableError, match="the model hub could not be reached"):
        load_model("openai/whisper-no-such")


def test_a_hub_that_has_no_such_model_for_transformers_is_not_taken_for_one_that_is_not_reached(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Hub(http.server.BaseHTTPRequestHandler):
        """Has a repository, and none of the files that transformers asks for."""

        def do_HEAD(self) -> None:
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_GET(self) -> None:
            self.do_HEAD()

        def log_message(self, *_args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        _move_hub(monkeypatch, f"http://127.0.0.1:{server.server_port}")
        with pytest.raises(ModelError, match=r"^--model nvidia/a-nemo-model: must be a model that transformers loads"):
            load_model("nvidia/a-nemo-model")
        server.shutdown()


def test_padded_features_equal_those_of_a_padded_clip(tiny: SpeechModel, corpus: Path) -> None:
    utterances, _ = read_manifest(corpus, max_duration_s=30, normalise=str.lower)
    examples = prepare(utterances[:2], tiny, str.lower)
    example = (examples.train + examples.dev + examples.test)[0]
    samples = read_clip(utterances[0])
    for context_s, frames in ((4, 400), (30, 3000)):
        expected = tiny.feature_extractor(
            samples, sampling_rate=16_000, padding="max_length", max_length=context_s * 16_000, return_tensors="np"
        )["input_features"]
        features = tiny.collate([example], context_s)["input_features"]
        assert np.array_equal(features[..., :frames], expected)
        assert (features[..., frames:] == features[..., -1:]).all()  # silence


@pytest.mark.parametrize("seconds", [0.02, 0.2, 30.0])
def test_the_shortest_and_the_longest_clip_have_features(tiny: SpeechModel, seconds: float) -> None:
    features = tiny.compute_features(np.ones(int(seconds * 16_000), np.float32))
    assert features.shape[0] == 80
    assert np.isfinite(features).all()


def test_a_network_takes_batches_of_any_length_one_after_another(tiny: SpeechModel) -> None:
    network = tiny.build().eval()
    features = torch.zeros(1, 80, 3000)
    with torch.no_grad():
        before = network.model.encoder(features).last_hidden_state
        for frames, expected in ((400, 200 + POSITIONS), (150, 75 + POSITIONS), (3000, 1500)):
            batch = {"input_features": features[..., : 2 * expected]}
            states = tiny.run_encoder(network, batch).last_hidden_state
            assert states.shape[1] == expected == tiny.count_positions(frames / 100)
        assert torch.equal(states, before)
