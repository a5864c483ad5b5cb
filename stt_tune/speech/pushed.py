"""Keep the best trials' networks at a URL, where trials have no folder in common."""

from __future__ import annotations

import json
import math
from collections.abc import Collection
from pathlib import Path

from transformers import PreTrainedModel

from stt_tune.speech.families.base import SpeechModel
from stt_tune.speech.saved import SCORE, save_model
from stt_tune.storage import open_storage, telling
from stt_tune.transfer import COMPLETE, leave, remove


def push_if_best(network: PreTrainedModel, model: SpeechModel, url: str, trial: str, loss: float) -> None:
    """Push a trial's network to `URL/TRIAL` unless a better one lies there, as `save_if_best` does in a folder.

    Without a lock: of two that are the best one at once, both stay, and the best of all is never deleted.

    Args:
        network: Trained.
        model: What it was built from.
        url: Of all trials' networks.
        trial: The trial's id.
        loss: What the trials are compared by; lower is better.

    Raises:
        StorageError: The storage cannot be written.
    """
    others = {name: other for name, other in _read_scores(url).items() if name != trial}
    if not math.isfinite(loss) or any(other < loss for other in others.values()):
        return

    def write(folder: Path) -> None:
        save_model(network, model, folder)
        (folder / SCORE).write_text(json.dumps(loss))

    leave(f"{url}/{trial}", write)
    second = min(others.values(), default=math.inf)
    for name, other in others.items():
        if other > second:
            remove(f"{url}/{name}")


def forget_pushed(url: str, *, but: Collection[str]) -> None:
    """Delete the networks of all other trials, such as interrupted ones.

    Raises:
        StorageError: The storage cannot be written.
    """
    for name in _read_scores(url):
        if name not in but:
            remove(f"{url}/{name}")


def _read_scores(url: str) -> dict[str, float]:
    """The scores of the trials whose networks are complete."""
    system, path = open_storage(url)
    with telling(url):
        system.invalidate_cache()
        found = {each.rpartition("/")[0] for each in system.find(path) if each.endswith(f"/{COMPLETE}")}
        return {each.rpartition("/")[2]: float(json.loads(system.cat_file(f"{each}/{SCORE}"))) for each in found}
