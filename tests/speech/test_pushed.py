"""The best trials' weights at a URL."""

from __future__ import annotations

from pathlib import Path

import fsspec
import numpy as np
from transformers import HubertConfig

from stt_tune.speech.model import load_model
from stt_tune.speech.pushed import forget_pushed, push_if_best
from stt_tune.speech.saved import take_best
from stt_tune.transfer import COMPLETE, pull
from tests.speech.families import make_waveform_ctc


def _list(url: str) -> set[str]:
    system, root = fsspec.url_to_fs(url)
    return {each[len(root) + 1 :].partition("/")[0] for each in system.find(root)}


def test_only_the_best_trials_weights_are_kept_at_a_url(tmp_path: Path) -> None:
    url, run = f"memory://{tmp_path.name}/models", tmp_path / "run"
    make_waveform_ctc(HubertConfig)(tmp_path / "hubert")
    model = load_model(str(tmp_path / "hubert"))
    network = model.build()
    for trial, loss in (("a", 0.5), ("b", 0.7), ("c", 0.3), ("d", float("nan")), ("e", 0.3)):
        push_if_best(network, model, url, trial, loss)
    assert _list(url) == {"c", "e"}
    push_if_best(network, model, url, "c", 0.3)  # trained again
    forget_pushed(url, but={"c"})
    assert _list(url) == {"c"}
    assert pull(f"{url}/c", run / "models" / "c")
    take_best(run / "models", "c", run / "best_model")
    again = load_model(str(run / "best_model"))
    # what masks in training is not saved
    saved = {name: array for name, array in model.weights.items() if not name.endswith("masked_spec_embed")}
    assert len(saved) > 40
    assert all(np.array_equal(again.weights[name], array) for name, array in saved.items())


def test_weights_that_have_not_come_whole_are_none(tmp_path: Path) -> None:
    url = f"memory://{tmp_path.name}/models"
    make_waveform_ctc(HubertConfig)(tmp_path / "hubert")
    model = load_model(str(tmp_path / "hubert"))
    push_if_best(model.build(), model, url, "a", 0.1)
    system, root = fsspec.url_to_fs(url)
    system.rm_file(f"{root}/a/{COMPLETE}")  # as its worker has died
    push_if_best(model.build(), model, url, "b", 0.2)
    assert _list(url) == {"a", "b"}
    assert not pull(f"{url}/a", tmp_path / "a")
