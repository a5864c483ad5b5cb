"""Features computed once and kept as memory-mapped Arrow files, for all trials and all later sweeps."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa

from stt_tune.files import write_atomically
from stt_tune.progress import track

_VERSION = 1  # raised whenever the same clip and setting give other features
# What one file holds at most: what is in memory at once, and what is lost by a kill.
_SHARD_CLIPS, _SHARD_S = 512, 1800
_SCHEMA = pa.schema([("features", pa.list_(pa.float32())), ("shape", pa.list_(pa.int32()))])


def load_features(
    folder: Path,
    setting: str,
    hashes: Sequence[str],
    durations_s: Sequence[float],
    compute: Callable[[int], np.ndarray],
) -> list[np.ndarray]:
    """Give the features of every clip; what is not in the store yet is computed, on all cores, and put there.

    Args:
        folder: The store.
        setting: Everything that the features depend on beside the audio.
        hashes: Of each clip's audio.
        durations_s: How long each is.
        compute: Gives the features of the clip at a place, float32.

    Returns:
        Views of memory-mapped files: read only, and in memory only while they are used. Sent to another
        process, they are copied.

    Raises:
        OSError: The store cannot be written.
    """
    shards = _divide(durations_s)
    paths = [folder / f"features-{_name(setting, [hashes[i] for i in shard])}.arrow" for shard in shards]
    missing = {path: shard for path, shard in zip(paths, shards, strict=True) if not path.exists()}
    with ThreadPoolExecutor() as pool:
        # one file's worth at a time, so that memory stays bounded
        made = ((path, array) for path, shard in missing.items() for array in pool.map(compute, shard))
        followed = track(made, "computing features", sum(map(len, missing.values())))
        for path, arrays in itertools.groupby(followed, key=lambda each: each[0]):
            _write(path, [array for _path, array in arrays])
    return [features for path in paths for features in _read(path)]


def _divide(durations_s: Sequence[float]) -> list[range]:
    """Places of neighbouring clips that go into one file."""
    shards, start, seconds = [], 0, 0.0
    for i, duration_s in enumerate(durations_s):
        if i > start and (i - start == _SHARD_CLIPS or seconds + duration_s > _SHARD_S):
            shards.append(range(start, i))
            start, seconds = i, 0.0
        seconds += duration_s
    return [*shards, range(start, len(durations_s))] if durations_s else []


def _name(setting: str, hashes: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps([_VERSION, setting, *hashes]).encode()).hexdigest()[:32]


def _write(path: Path, arrays: Sequence[np.ndarray]) -> None:
    flat = pa.array([np.ravel(array) for array in arrays], _SCHEMA.field("features").type)
    shapes = pa.array([list(array.shape) for array in arrays], _SCHEMA.field("shape").type)
    table = pa.Table.from_arrays([flat, shapes], schema=_SCHEMA)

    def write(file: Path) -> None:
        with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, _SCHEMA) as writer:
            writer.write_table(table)

    write_atomically(path, write)


def _read(path: Path) -> list[np.ndarray]:
    table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    column = table.column("features").chunk(0)
    values, offsets = column.values.to_numpy(zero_copy_only=True), column.offsets.to_numpy()
    shapes = table.column("shape").to_pylist()
    return [values[offsets[i] : offsets[i + 1]].reshape(shape) for i, shape in enumerate(shapes)]
