"""What workers have to tell the user, said by the driver: nobody reads their own stderr."""

from __future__ import annotations

import time
import uuid
from typing import Any

import ray
from ray.experimental import internal_kv
from ray.tune import Callback

from stt_tune.progress import say
from stt_tune.run.unpickled import Unpickled

_NAMESPACE = b"stt_tune"
_LOOK_EVERY_S = 1.0
_SAME_S = 60.0  # what several trials tell within so long is one matter


def tell_user(text: str) -> None:
    """Say a line on stderr; in a worker, let the driver say it."""
    if ray.is_initialized() and ray.get_runtime_context().worker.mode == ray.WORKER_MODE:
        internal_kv._internal_kv_put(f"{_find_job()}{uuid.uuid4().hex}", text, namespace=_NAMESPACE)
    else:
        say(text)


class Mailbox(Unpickled, Callback):
    """Says what this sweep's workers have left with `tell_user`, and of several that tell the same only the first."""

    def __init__(self) -> None:
        """Begin with nothing heard."""
        self._looked_at = 0.0
        self._said_at: dict[str, float] = {}

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Look once a second."""
        now = time.monotonic()
        if now - self._looked_at < _LOOK_EVERY_S:
            return
        self._looked_at = now
        self.read()

    def on_experiment_end(self, trials: list[Any], **info: Any) -> None:
        """Look for last words."""
        self.read()

    def read(self) -> None:
        """Say what lies there."""
        now = time.monotonic()
        for key in internal_kv._internal_kv_list(_find_job(), namespace=_NAMESPACE):
            text = internal_kv._internal_kv_get(key, namespace=_NAMESPACE).decode()
            internal_kv._internal_kv_del(key, namespace=_NAMESPACE)
            if now - self._said_at.get(text, -_SAME_S) >= _SAME_S:
                self._said_at[text] = now
                say(text)


def _find_job() -> str:
    return f"{ray.get_runtime_context().get_job_id()}:"
