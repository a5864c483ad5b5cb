"""Where the runs of a sweep lie in W&B, as its run folder has it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from stt_tune.run.folder import RunFolder
from stt_tune.run.wandb_function import RunIdentity

_KEY = "wandb"  # in run.json


@dataclass(frozen=True)
class WandbPlace:
    """Where to look for the runs of a sweep.

    Attributes:
        project: W&B project.
        group: What its runs are grouped by.
        mode: `offline`, `online` or `disabled`.
        entity: W&B entity; None: the user's own.
    """

    project: str
    group: str
    mode: str
    entity: str | None


def note_place(folder: RunFolder, identity: RunIdentity) -> None:
    """Enter into `run.json` where the sweep's runs go from now on.

    Raises:
        SettingsError: It is damaged, or cannot be written.
    """
    folder.note(**{_KEY: asdict(WandbPlace(identity.project, identity.group, identity.mode, identity.entity))})


def find_place(folder: RunFolder) -> WandbPlace | None:
    """Where the runs are; None where W&B was off, or the folder is none of a sweep.

    Raises:
        SettingsError: `run.json` is damaged.
    """
    place = folder.read_run().get(_KEY) if folder.run.is_file() else None
    return WandbPlace(**place) if place and place["mode"] != "disabled" else None


def find_entity(place: WandbPlace, api: Any) -> str:
    """Whose project it is: as `wandb.init` finds it where nobody is named.

    Args:
        place: Of the runs.
        api: `wandb.Api()`.
    """
    return str(place.entity or api.settings["entity"] or api.default_entity)
