"""Train in production with the optimal config: the callback of a training coordinator."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from stt_tune.errors import SttTuneError
from stt_tune.results.merging import DEFAULT, OPTIMAL, MergedConfig, merge_config
from stt_tune.results.optimal_config import check_error_type, read_optimal_config, select_hyperparameters
from stt_tune.results.shared_file import locate_shared, open_shared

Result = TypeVar("Result")
_LOG = logging.getLogger("stt_tune")


def training_callback(
    train_model: Callable[[Any, MergedConfig], Result],
    config: str | Path = "optimal_config.json",
    error_type: str | None = None,
    *,
    default: Mapping[str, Any] | None = None,
    strict: bool = False,
) -> Callable[..., Result]:
    """Make the function for a coordinator's `set_training_callback`.

    Called with a job and the parameters that it was given explicitly, it reads the optimal config
    (again whenever the file has changed), merges, and calls `train_model(job, merged)`. Where the
    file is missing or bad it warns (logger `stt_tune`) and trains with `default`. Safe in threads.

    Args:
        train_model: Trains; gets the job and the merged parameters, whose `sources` says where each is from.
        config: The `optimal_config.json`, a path or a URL.
        error_type: The kind of error that all jobs are about; None: what the job's own `error_type`
            (an attribute or a key) says. Where the file has no configuration for it, the general one.
        default: What is trained with where the file cannot be used; None: the explicit parameters alone.
        strict: Whether a missing or bad file, or a job of an unknown kind of error, is an error.

    Returns:
        A function of `(job, params=None)` that gives what `train_model` gives. It raises what
        `train_model` raises, and with `strict` the SttTuneError of a file that cannot be used.

    Raises:
        SettingsError: `error_type` is none that there is.
    """
    check_error_type(error_type)
    reader = _Reader(locate_shared(config))  # jobs may run in another folder

    def train(job: Any, params: Mapping[str, Any] | None = None) -> Result:
        try:
            document = reader.read()
        except SttTuneError as error:
            if strict:
                raise
            _LOG.warning("training with the default configuration: %s", error)
            base, source = dict(default or {}), DEFAULT
        else:
            base, source = _select(document, error_type or _find_error_type(job), strict=strict), OPTIMAL
        return train_model(job, merge_config(base, params or {}, source=source))

    return train


def _select(document: Mapping[str, Any], error_type: str | None, *, strict: bool) -> dict[str, Any]:
    try:
        return select_hyperparameters(document, error_type)
    except SttTuneError as error:
        if strict:
            raise
        _LOG.warning("training with the general configuration: %s", error)
        return select_hyperparameters(document, None)


def _find_error_type(job: Any) -> str | None:
    found = job.get("error_type") if isinstance(job, Mapping) else getattr(job, "error_type", None)
    found = getattr(found, "value", found)  # of an enumeration
    return found if isinstance(found, str) and found else None


class _Reader:
    """Reads the file when it has changed."""

    def __init__(self, config: str) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._stamp: str | None = None
        self._document: dict[str, Any] = {}

    def read(self) -> dict[str, Any]:
        with self._lock:
            # the stamp first: should the file change in between, it is read once more the next time
            stamp = open_shared(self._config).stamp()
            if stamp is None or stamp != self._stamp:
                self._document, self._stamp = read_optimal_config(self._config), stamp
            return self._document
