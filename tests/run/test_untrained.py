from __future__ import annotations

from dataclasses import replace

import pytest

from stt_tune.run.cluster import find_resources
from stt_tune.run.speech_trial import SpeechTask
from stt_tune.run.untrained import hear_untrained
from stt_tune.speech.decode import measure_untrained
from stt_tune.speech.example import SpeechData
from stt_tune.speech.families.base import SpeechModel
from stt_tune.speech.finetune import TrainingSettings


@pytest.mark.usefixtures("ray_session")
def test_workers_share_the_utterances_whose_errors_are_unknown(
    speech: SpeechData, tiny: SpeechModel, capsys: pytest.CaptureFixture[str]
) -> None:
    task = SpeechTask(speech, tiny, TrainingSettings(seed=0, audio_context_s=None, normaliser="basic"))
    alone = measure_untrained(tiny, speech.train, "basic")
    told = replace(alone[3], substitutions=99)
    examples = [replace(each, base=told if i == 3 else None) for i, each in enumerate([*speech.train, speech.train[0]])]
    heard = hear_untrained(task, examples, find_resources(max_concurrent=2), "train")
    assert heard == [*alone[:3], told, *alone[4:], alone[0]]
    assert "16 utterances of train" in capsys.readouterr().err
    known = [replace(each, base=errors) for each, errors in zip(examples, heard, strict=True)]
    assert hear_untrained(task, known, find_resources(max_concurrent=2), "train") == heard
    assert not capsys.readouterr().err
