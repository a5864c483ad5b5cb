"""The state of a training after its last epoch, so that it can go on from there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import torch
from torch.utils.serialization import config as serialization
from transformers.trainer import OPTIMIZER_NAME
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR
from transformers.utils import WEIGHTS_NAME

from stt_tune.files import write_json

_PREFIX, _WHOLE = f"{PREFIX_CHECKPOINT_DIR}-", "whole.json"
_ROOM = 4  # times a copy's size; others on the machine may be about to make theirs

FAILURES = (OSError, RuntimeError)
"""What transformers and torch raise where a checkpoint cannot be written."""

State = Mapping[str, Mapping[str, Any]]
"""What of a checkpoint is large: by file, what `torch.save` is given."""


def name_checkpoint(folder: Path, step: int) -> Path:
    """Where transformers puts the checkpoint of a step, and looks for it."""
    return folder / f"{_PREFIX}{step}"


def take_whole(folder: Path) -> Path | None:
    """Find the newest checkpoint that was written to its end, and delete what was not.

    Args:
        folder: Of one training's checkpoints; may be missing.
    """
    newest: Path | None = None
    for path in sorted(folder.glob(f"{_PREFIX}*"), key=lambda each: int(each.name.removeprefix(_PREFIX)), reverse=True):
        if newest is None and _is_whole(path):
            newest = path
        else:
            shutil.rmtree(path, ignore_errors=True)
    return newest


def _is_whole(path: Path) -> bool:
    try:
        sizes = json.loads((path / _WHOLE).read_text(encoding="utf-8"))
        return all((path / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, AttributeError):
        return False


def _keep_newest(path: Path) -> None:
    """Mark a checkpoint as whole, and only then delete those before it."""
    write_json(path / _WHOLE, {each.name: each.stat().st_size for each in path.iterdir()})
    take_whole(path.parent)


class CheckpointWriter:
    """Writes what of a checkpoint is large, and sends it, while the training goes on.

    From a GPU, a copy is written that lies in the machine's memory. The weights of a training on the CPU are written
    before it goes on: writing takes its cores, and next to no waiting. Where there is no room for a copy, as well.
    """

    def __init__(self, device: torch.device, send: Callable[[Path], None] | None, tell: Callable[[str], None]) -> None:
        """Begin with nothing to write.

        Args:
            device: Where the training runs.
            send: Called with the folder of each checkpoint once it is written, in another thread.
            tell: Told what could not be written, in a line.
        """
        self._device = device
        self._send = send or (lambda _path: None)
        self._tell = tell
        self._stager: Any = None
        self._copied: set[int] | None = None  # the parameters whose moments it has memory for
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._begun: Future[object] | None = None

    def begin(self, path: Path, network: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Write the weights and moments of now; what was begun before must be settled.

        Args:
            path: The checkpoint's folder, with all that is small in it.
            network: Its weights may change as soon as this returns.
            optimizer: Its moments, too.
        """
        state = {WEIGHTS_NAME: network.state_dict(), OPTIMIZER_NAME: optimizer.state_dict()}
        if copy := self._copy(state):
            self._begun = self._pool.submit(lambda: self._write(path, copy) and self._send(path))
        elif self._write(path, state):
            self._begun = self._pool.submit(self._send, path)

    def settle(self) -> None:
        """Wait until what was begun is written and sent."""
        begun, self._begun = self._begun, None
        if begun:
            begun.result()

    def close(self) -> None:
        """Settle, and write no more."""
        self.settle()
        self._pool.shutdown()

    def tell_failure(self, folder: Path, error: Exception) -> None:
        """Say that an epoch's checkpoint is missing; a later fault costs more, and the training goes on."""
        self._tell(f"{folder}: this epoch's checkpoint cannot be written ({error})")

    def _copy(self, state: State) -> State | None:
        moments = set(state[OPTIMIZER_NAME]["state"])
        if moments != self._copied:  # a parameter that has its first gradient later, such as that of masks
            self._copied, self._stager = moments, _make_stager(self._device, state)
        try:
            return self._stager.stage(state) if self._stager else None
        except RuntimeError:  # the machine gives no memory that the GPU could write to
            return None

    def _write(self, path: Path, state: State) -> bool:
        try:
            # checksums take a third of the time, and torch.load looks at none
            with serialization.patch({"save.compute_crc32": False}):  # type: ignore[attr-defined]  # made at import
                for name, each in state.items():
                    torch.save(each, path / name)
            _keep_newest(path)
        except FAILURES as error:
            self.tell_failure(path.parent, error)
            return False
        return True


def _make_stager(device: torch.device, state: State) -> Any:
    """What copies states of one form to memory that it takes once; None where they are not to be copied."""
    if device.type == "cpu":
        return None
    if _ROOM * sum(each.nbytes for each in _tensors(state.values())) > psutil.virtual_memory().available:
        return None
    from torch.distributed.checkpoint.staging import BlockingAsyncStager  # of no use on a CPU, and slow to import

    return BlockingAsyncStager(cache_staged_state_dict=True)


def _tensors(values: Iterable[Any]) -> Iterable[torch.Tensor]:
    for each in values:
        if isinstance(each, torch.Tensor):
            yield each
        elif isinstance(each, Mapping):
            yield from _tensors(each.values())
