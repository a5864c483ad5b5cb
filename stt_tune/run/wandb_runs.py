"""The files that W&B has written of a sweep's runs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from stt_tune.run.wandb_link import FALLBACK, is_continuing, synced_mark, was_begun

_STARTED = r"(?:offline-)?run-(\d{8}_\d{6})"
# A run file that holds only this tells nothing, and would keep `wandb sync` from uploading any other.
_HEADER_BYTES = 7


@dataclass(frozen=True)
class RunFile:
    """The file of one start of a W&B run: a trial that was interrupted and begun again has several.

    Attributes:
        path: The file.
        run_id: The run's id in W&B, which is the trial's.
        is_fallback: Whether the file holds another id than the run is to have.
        started: Sorts the starts of a run: the time to a second, and W&B's count of those within one.
    """

    path: Path
    run_id: str
    is_fallback: bool
    started: tuple[str, int]

    @property
    def is_uploaded(self) -> bool:
        """Whether W&B has marked it so."""
        return synced_mark(self.path).exists()


def find_runs(folder: Path) -> list[list[RunFile]]:
    """The files of each W&B run below `folder` that together tell all of it, in their order."""
    by_id: dict[str, list[RunFile]] = {}
    for path in folder.glob("*run-*/run-*.wandb"):
        local_id = path.stem.removeprefix("run-")
        match = re.fullmatch(rf"{_STARTED}-{re.escape(local_id)}(?:-(\d+))?", path.parent.name)
        if match and was_begun(path.parent) and path.stat().st_size > _HEADER_BYTES:
            run_id = local_id.removesuffix(FALLBACK)
            started = match[1], int(match[2] or 0)
            by_id.setdefault(run_id, []).append(RunFile(path, run_id, run_id != local_id, started))
    return [_find_last_start(sorted(files, key=lambda file: file.started)) for _, files in sorted(by_id.items())]


def _find_last_start(files: list[RunFile]) -> list[RunFile]:
    first = max((i for i, file in enumerate(files) if not is_continuing(file.path.parent)), default=0)
    return files[first:]
