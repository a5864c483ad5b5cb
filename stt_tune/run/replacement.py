"""Replace the configuration that production uses only by one that is really better."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from stt_tune.errors import SettingsError, SharedFileError
from stt_tune.results.optimal_config import note, succeed, update_config
from stt_tune.results.shared_file import open_shared
from stt_tune.run.folder import HAS_CONCLUDED, RunFolder
from stt_tune.run.settings import TuneSettings


@dataclass(frozen=True)
class Replacement:
    """What became of the shared file.

    Attributes:
        replaced: Whether it holds the new configuration now.
        reason: Why, or why not.
        incumbent_wer: Of the configuration that was there, on held-out speech, trained anew.
        new_wer: Of the best new one, likewise.
        relative_gain: Of the latter over the former.
        interval: Its 95 % interval.
        p_value: Of the paired test.
        min_gain: What was asked for.
        config: The shared file.
    """

    replaced: bool
    reason: str
    incumbent_wer: float
    new_wer: float
    relative_gain: float
    interval: tuple[float, float]
    p_value: float
    min_gain: float
    config: str

    def to_dict(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return asdict(self)

    def describe(self) -> str:
        """In one line."""
        return f"{self.config}: {'replaced' if self.replaced else 'stays as it is'}: {self.reason}."


def conclude_run(folder: RunFolder, document: Mapping[str, Any], settings: TuneSettings) -> Replacement:
    """Do the last step of a re-tune, and note that it is done.

    Args:
        folder: Of the run.
        document: What the run found.
        settings: Of the run.

    Raises:
        SettingsError: As `conclude`, and how this is done once more; so is `SharedFileError`.
    """
    try:
        replacement = conclude(document, settings)
    except (SettingsError, SharedFileError) as error:
        raise type(error)(f"{error}\n{folder.how_to_go_on()}") from error
    folder.note(**{HAS_CONCLUDED: True})
    return replacement


def conclude(document: Mapping[str, Any], settings: TuneSettings) -> Replacement:
    """Replace the shared file, or leave it as it is, byte for byte.

    Args:
        document: What the run found.
        settings: Of the run: the shared file, its hyperparameters (as the default), what gain is asked for.

    Raises:
        SettingsError: The shared file is damaged.
        SharedFileError: It cannot be written.
    """
    config, held_out = str(settings.retunes), document["held_out"]
    reason = _find_objection(document, settings.min_gain)
    if reason is None and not _publish(document, config, settings):
        reason = "the file was changed by others meanwhile, so the comparison does not hold any more"
    if reason is not None and settings.record and open_shared(config).stamp() is not None:
        entry = {**note("kept"), "reason": reason, "relative_gain": held_out["relative_gain"]}
        update_config(config, lambda before: {**before, "history": [*before.get("history", []), entry]})
    return Replacement(
        replaced=reason is None,
        reason=reason or f"at least {settings.min_gain:.0%} fewer errors on held-out speech, beyond chance",
        incumbent_wer=held_out["incumbent_wer"],
        new_wer=held_out["wer"],
        relative_gain=held_out["relative_gain"],
        interval=(held_out["interval"][0], held_out["interval"][1]),
        p_value=held_out["p_value"],
        min_gain=settings.min_gain,
        config=config,
    )


def _find_objection(document: Mapping[str, Any], min_gain: float) -> str | None:
    held_out = document["held_out"]
    candidates = [each for each in held_out["systems"] if each["role"] == "candidate"]
    if not candidates:
        return "no trial was better than the incumbent on dev"
    objections = [each["objection"] for each in candidates if "objection" in each]
    if len(objections) == len(candidates):
        return f"the best new configuration cannot be taken: {objections[0]}"
    new, incumbent = held_out["wer"], held_out["incumbent_wer"]
    if new == 0:
        return "a new WER of 0 is more likely a fault of what was measured than a system without errors"
    if not is_lower(new, incumbent, min_gain):
        return f"the new WER {new:.4f} is not {min_gain:.0%} below the incumbent's {incumbent:.4f}"
    if document["decision"] != "winner":
        return "the difference is not beyond chance"
    return None


def is_lower(new: float | None, incumbent: float | None, min_gain: float) -> bool:
    """Whether `new < incumbent * (1 - min_gain)`; zero, missing and non-finite values never are.

    >>> is_lower(0.094, 0.1, 0.05), is_lower(0.095, 0.1, 0.05), is_lower(0.0, 0.1, 0.05)
    (True, False, False)
    """
    if new is None or incumbent is None or not (math.isfinite(new) and math.isfinite(incumbent)):
        return False
    return 0 < new < incumbent * (1 - min_gain)


class _ChangedError(Exception):
    """The file no longer holds what the new configuration was compared with."""


def _publish(document: Mapping[str, Any], config: str, settings: TuneSettings) -> bool:
    """Replace the file; give whether it still held what the new configuration was compared with."""

    def replace(before: dict[str, Any]) -> dict[str, Any]:
        if before.get("hyperparameters") == document["hyperparameters"]:
            return before  # it was replaced, and this is done again
        if before and before["hyperparameters"] != settings.default:
            raise _ChangedError
        return succeed(before, document, "re-tuned")

    try:
        update_config(config, replace)
    except _ChangedError:
        return False
    return True
