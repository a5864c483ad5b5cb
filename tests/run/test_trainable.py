from __future__ import annotations

import functools
import multiprocessing
import threading
from collections.abc import Callable
from typing import Any

import pytest

from stt_tune.errors import SettingsError
from stt_tune.run.trainable import TrainingTask, build_trainable, check_function, takes_configuration
from stt_tune.run.wandb_function import RunIdentity


def _of_two(config: dict[str, Any], data: str) -> None: ...


def _of_keywords(*, config: dict[str, Any]) -> None: ...


class _Trainer:
    def train(self, settings: dict[str, Any]) -> None: ...


@pytest.mark.parametrize(
    ("train", "expected"),
    [
        (lambda config: None, True),
        (lambda hyperparameters, verbose=False: None, True),
        (lambda config=None: None, True),  # as W&B's guides write it, for wandb.init(config=config)
        (lambda: None, False),
        (lambda seed=0: None, False),
        (lambda *args, **kwargs: None, False),
        (functools.partial(_of_two, data="x"), True),
        (_Trainer().train, True),
    ],
)
def test_whether_a_function_is_given_the_configuration(train: Callable[..., Any], expected: bool) -> None:
    assert takes_configuration(train) is expected


@pytest.mark.parametrize(
    ("train", "message"),
    [
        (_of_two, "the training function _of_two must take the configuration alone, or nothing; found config, data"),
        (_of_keywords, "must take the configuration alone, or nothing; found config"),
        ("train.py", "the training function must be a function, found 'train.py'"),
    ],
)
def test_a_function_that_cannot_be_called_is_refused(train: Any, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        takes_configuration(train)


def test_a_function_that_would_train_the_same_in_every_trial_is_refused() -> None:
    def train(lr: float = 0.1, verbose: bool = False) -> None: ...

    check_function(train, ["batch_size"])
    with pytest.raises(SettingsError, match=r"train must take the configuration as one argument, .* found lr among"):
        check_function(train, ["batch_size", "lr"])


@pytest.mark.parametrize("make_lock", [threading.Lock, multiprocessing.Lock])
def test_a_function_that_cannot_be_sent_to_workers_is_refused(ray_session: None, make_lock: Callable[[], Any]) -> None:
    lock = make_lock()

    def train(config: dict[str, Any]) -> None:
        lock.acquire()

    identity = RunIdentity("p", "g", (), "disabled", "/nowhere")
    with pytest.raises(SettingsError, match=r"the training function train must be one that can be sent .*(?i:lock)"):
        build_trainable(TrainingTask(train, "wer", identity, "."))
