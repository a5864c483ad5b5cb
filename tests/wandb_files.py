"""Read back the files that W&B wrote of runs."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2

_HEADER = 7
_BLOCK = 32768
_FULL, _LAST = 1, 4
_PATIENCE_S = 5.0


@dataclass
class WandbRun:
    """One run: what `wandb sync` would upload."""

    id: str = ""
    project: str = ""
    group: str = ""
    name: str = ""
    tags: tuple[str, ...] = ()
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    exit_code: int | None = None


def read_runs(folder: Path) -> dict[str, WandbRun]:
    """All offline runs below `folder`, by id."""
    runs = [read_run(path) for path in sorted(folder.glob("offline-run-*/*.wandb"))]
    return {run.id: run for run in runs}


def read_run(path: Path) -> WandbRun:
    """Wait until the run's end is in the file: W&B's service writes it a moment after `finish` has returned."""
    deadline = time.monotonic() + _PATIENCE_S
    while (run := _read_run(path)).exit_code is None and time.monotonic() < deadline:
        time.sleep(0.05)
    return run


def _read_run(path: Path) -> WandbRun:
    run = WandbRun()
    for record in _records(path.read_bytes()):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            run.id, run.project, run.group = record.run.run_id, record.run.project, record.run.run_group
            run.name, run.tags = record.run.display_name, tuple(record.run.tags)
            run.config |= {item.key: json.loads(item.value_json) for item in record.run.config.update}
        elif kind == "config":
            run.config |= {item.key: json.loads(item.value_json) for item in record.config.update if item.key}
        elif kind == "history":
            run.history.append({_key(item): json.loads(item.value_json) for item in record.history.item})
        elif kind == "exit":
            run.exit_code = record.exit.exit_code
        elif kind == "summary":
            run.summary |= {_key(item): json.loads(item.value_json) for item in record.summary.update}
    return run


def _key(item: Any) -> str:
    return item.key or ".".join(item.nested_key)


def _records(data: bytes) -> Iterator[Any]:
    """Unframe LevelDB's log format: chunks of (checksum, length, type) in blocks of 32 KiB."""
    position, buffer = _HEADER, b""
    while position < len(data):
        left = _BLOCK - position % _BLOCK
        if left < _HEADER:
            position += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, position)
        buffer += data[position + _HEADER : position + _HEADER + length]
        position += _HEADER + length
        if kind in (_FULL, _LAST):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(buffer)
            buffer = b""
            yield record
