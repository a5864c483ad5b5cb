"""What many tests share: models, a little synthesised speech, one real sweep."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from stt_tune.demo.corpus import CorpusSize, make_corpus
from stt_tune.run.cluster import connect
from stt_tune.run.folder import RunFolder
from stt_tune.run.settings import TuneSettings
from stt_tune.run.tune import TuneResult, tune
from stt_tune.speech.example import SpeechData
from stt_tune.speech.families.base import SpeechModel
from stt_tune.speech.features import prepare
from stt_tune.speech.manifest import read_manifest
from stt_tune.speech.memory import spare_modules
from stt_tune.speech.model import load_model
from stt_tune.speech.normalisers import load_normaliser
from tests.speech.families import make_whisper

hypothesis.settings.register_profile("machines are slow at times", deadline=None)
hypothesis.settings.load_profile("machines are slow at times")

SHARED = Path(__file__).parents[2] / "shared"

SMALL_SWEEP = """\
name: small
method: random
metric: {name: wer, goal: minimize}
parameters:
  learning_rate: {distribution: log_uniform_values, min: 1e-6, max: 1e-3}
  batch_size: {values: [4, 8]}
  epochs: {min: 2, max: 3}
  warmup_ratio: {min: 0.0, max: 0.2}
early_terminate: {type: hyperband, min_iter: 1, eta: 3}
"""


def pytest_collection_finish() -> None:
    """As the workers do: each training searches for garbage, among all that tests have imported."""
    spare_modules()


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests prepare their speech anew, and leave nothing in the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("user-cache")))
        yield


@pytest.fixture(scope="session")
def digits() -> Path:
    """The folder of real digit strings, where this checkout has it beside it."""
    folder = SHARED / "speech" / "digits"
    if not folder.is_dir():
        pytest.skip("the real digit strings (../shared/speech/digits) are not beside this checkout")
    return folder


@pytest.fixture(scope="session")
def wandb_reference() -> dict[str, object]:
    """What W&B's own sweep engine answers, where this checkout has it beside it."""
    path = SHARED / "wandb" / "reference.json"
    if not path.is_file():
        pytest.skip("W&B's reference answers (../shared/wandb/reference.json) are not beside this checkout")
    return json.loads(path.read_text())


@pytest.fixture(scope="session")
def recorded_runs() -> Path:
    """The folder of recorded fine-tuning runs, where this checkout has it beside it."""
    folder = SHARED / "bench"
    if not folder.is_dir():
        pytest.skip("the recorded runs (../shared/bench) are not beside this checkout")
    return folder


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """One local Ray for all tests that need one: starting it takes seconds."""
    with connect(None):
        yield


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The manifest of a few synthesised utterances."""
    return make_corpus(CorpusSize(train=16, dev=8, test=8), seed=0, cache=tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def tiny() -> SpeechModel:
    """Whisper tiny.en with OpenAI's weights."""
    return load_model("tiny.en")


@pytest.fixture(scope="session")
def small_model(tiny: SpeechModel, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a Whisper of two narrow layers, untrained: for what does not hang on what is heard."""
    folder = tmp_path_factory.mktemp("small-model")
    make_whisper(tiny)(folder)
    return str(folder)


@pytest.fixture(scope="session")
def speech(corpus: Path, tiny: SpeechModel) -> SpeechData:
    """The small synthesised corpus, prepared for tiny.en."""
    utterances, rejected = read_manifest(corpus, max_duration_s=30, normalise=load_normaliser("basic"))
    assert not rejected
    return prepare(utterances, tiny, load_normaliser("basic"))


@pytest.fixture(scope="session")
def small_run(
    corpus: Path, small_model: str, ray_session: None, tmp_path_factory: pytest.TempPathFactory
) -> TuneResult:
    """A finished run: four trials of a small model on Ray, W&B offline, confirmed."""
    folder = tmp_path_factory.mktemp("runs")
    sweep = folder / "small.yaml"
    sweep.write_text(SMALL_SWEEP)
    settings = TuneSettings(
        data=str(corpus),
        model=small_model,
        trials=4,
        default={"learning_rate": 1e-5, "batch_size": 8, "epochs": 2},
    )
    return tune(sweep, settings, folder / "small")


@pytest.fixture
def own_run(small_run: TuneResult, tmp_path: Path) -> RunFolder:
    """A copy of the finished run, that a test may change."""
    folder = RunFolder(tmp_path / "copy")
    shutil.copytree(small_run.folder.path, folder.path, ignore=shutil.ignore_patterns("ray", "wandb"))
    return folder
