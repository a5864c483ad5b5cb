"""How much of a machine a process takes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from stt_tune.speech.limits import use_cores


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize(
    ("given", "asked", "expected"), [(3, "", 3), (0.5, "", 1), (3, "2", 2), (1.5, "4", 1), (3, "0", 1), (3, "2,4", 2)]
)
def test_a_training_takes_the_cores_it_is_given_and_no_more_than_the_user_says(
    given: float, asked: str, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    use_cores(given)
    assert torch.get_num_threads() == expected
