from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from stt_tune.run.reporting import Reporter, report, reporting_to


def _reported(*reports: dict[str, Any]) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []
    with reporting_to(Reporter(sent.append, "wer")):
        for each in reports:
            report(each)
    return sent


@pytest.mark.parametrize(
    ("named", "counted"),
    [
        ([1, 2, 3], [1, 2, 3]),
        ([0, 1, 2], [1, 2, 3]),
        ([2, 4, 8], [2, 4, 8]),
        ([None, None], [1, 2]),
        ([0.5, 1.0, 1.5, 2.0], [1, 2, 3, 4]),
        ([3, 3, 1], [3, 4, 5]),
    ],
)
def test_epochs_rise_whatever_they_are_called(named: list[Any], counted: list[int]) -> None:
    reports = [{"wer": 0.1} | ({} if epoch is None else {"epoch": epoch}) for epoch in named]
    assert [each["epoch"] for each in _reported(*reports)] == counted


def test_what_is_no_number_is_left_out_and_what_is_nested_gets_dotted_names() -> None:
    metrics = {
        "wer": np.float32(0.5),
        "loss": torch.tensor(2.0),
        "eval": {"cer": 1, "text": "a"},
        "best": True,
        "done": True,  # would end the trial, in Tune's words
        "curve": [1, 2],
        "vector": np.zeros(2),
        "nothing": None,
    }
    (sent,) = _reported(metrics)
    assert sent == {"wer": 0.5, "loss": 2.0, "eval.cer": 1, "best": True, "epoch": 1}
    assert {type(value) for value in sent.values()} == {float, int, bool}


def test_outside_a_trial_a_report_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    report({"eval/wer": 0.25}, epoch=1)
    assert capsys.readouterr().err == "eval/wer 0.25, epoch 1\n"


def test_reports_end_with_their_trial() -> None:
    sent: list[dict[str, Any]] = []
    with pytest.raises(RuntimeError, match="bad luck"), reporting_to(Reporter(sent.append, "wer")):
        raise RuntimeError("bad luck")
    report(wer=0.1)
    assert sent == []
