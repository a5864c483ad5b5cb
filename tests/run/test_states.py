"""A frozen encoder is run once for a sweep, where there is room for what it makes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stt_tune.run import states
from stt_tune.run.cluster import TrialResources
from stt_tune.run.speech_trial import SpeechTask
from stt_tune.run.states import share_states
from stt_tune.speech.example import SpeechData
from stt_tune.speech.finetune import TrainingSettings
from stt_tune.speech.hyperparameters import Hyperparameters
from stt_tune.speech.model import load_model
from stt_tune.sweep.config import SweepConfig

_RESOURCES = TrialResources(cpus=1, gpus=0, max_concurrent=1)
_DEFAULT = Hyperparameters.from_mapping({}).to_dict()


def _sweep(**parameters: object) -> SweepConfig:
    return SweepConfig.from_dict(
        {
            "method": "random",
            "metric": {"name": "wer"},
            "parameters": {"learning_rate": {"min": 1e-5, "max": 1e-4}, **parameters},
        }
    )


def test_it_runs_once_where_trials_leave_it_frozen(
    speech: SpeechData,
    small_model: str,
    ray_session: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = replace(speech, train=speech.train[:4], dev=speech.dev[:2])
    task = SpeechTask(data, load_model(small_model), TrainingSettings(seed=0, audio_context_s=4.0, normaliser="basic"))
    assert share_states(task, _sweep(), _DEFAULT, _RESOURCES) is task
    assert share_states(task, _sweep(freeze={"value": "feature_encoder"}), _DEFAULT, _RESOURCES) is task
    for sweep, default in (
        (_sweep(freeze={"values": ["none", "encoder"]}), _DEFAULT),
        (_sweep(), {**_DEFAULT, "freeze": "encoder"}),
    ):
        known = share_states(task, sweep, default, _RESOURCES).data
        assert [each.states is not None for each in (*known.train, *known.dev, *known.test)] == [True] * 6 + [False] * 8
        assert [each.id for each in known.train] == [each.id for each in data.train]
    assert "running the frozen encoder on all utterances, once for all trials" in capsys.readouterr().err
    monkeypatch.setattr(states, "_SHARE", 0.0)
    assert share_states(task, _sweep(freeze={"value": "encoder"}), _DEFAULT, _RESOURCES) is task
    assert "the frozen encoder is run in every trial" in capsys.readouterr().err
