"""Decode every clip once, and remember what was found while its file stays as it is."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import platformdirs
import pyarrow as pa
import pyarrow.parquet as pq

from stt_tune.errors import SettingsError, SttTuneError
from stt_tune.files import write_atomically
from stt_tune.progress import track
from stt_tune.speech.audio import SAMPLE_RATE, read_audio
from stt_tune.speech.clip import Clip

_VERSION = 4  # raised whenever an inspection finds something else
_BLOCK = 5000  # clips; at most so many are decoded again after a kill
_SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("audio_hash", pa.string()),
        ("duration_s", pa.float64()),
        ("problem", pa.string()),
    ]
)
Part = tuple[float, float | None]


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was found in a clip.

    Attributes:
        audio_hash: SHA-256 of its samples, so that it is the same in whatever format, or part of a file, they are.
        duration_s: Its length; 0 where it cannot be used.
        problem: Why it cannot; None if it can.
    """

    audio_hash: str = ""
    duration_s: float = 0.0
    problem: str | None = None


def cache_folder() -> Path:
    """Where what was prepared once is kept for later runs; all of it may be deleted."""
    return platformdirs.user_cache_path("stt_tune") / "prepared"


@contextlib.contextmanager
def telling_of_cache() -> Iterator[None]:
    """Say of whatever cannot be written inside the block where it lies, and what to do.

    Raises:
        SettingsError: A file could not be written.
    """
    try:
        yield
    except SttTuneError:
        raise  # some of them are errors of the system, too
    except OSError as error:
        raise SettingsError(
            f"{error.filename or cache_folder()}: must be a file that can be written ({error.strerror}). Make room, or "
            "name another folder; that of the cache is XDG_CACHE_HOME."
        ) from error


def inspect_clips(source: str, clips: Sequence[tuple[Clip, Part]], *, longest_s: float) -> list[Inspection]:
    """Decode every clip, or remember what was found in it.

    Args:
        source: Where they were named; what is found is remembered by it.
        clips: Each with its offset and duration in seconds; None: to the end.
        longest_s: Longer ones are refused.
    """
    path = cache_folder() / f"clips-{hashlib.sha256(source.encode()).hexdigest()[:16]}.parquet"
    known = _load(path)
    keys = [_find_key(clip, part, longest_s) for clip, part in clips]
    fresh: dict[int, Inspection] = {}
    for i, inspection in _inspect_all(clips, [i for i, key in enumerate(keys) if key not in known], longest_s):
        fresh[i] = inspection
        if len(fresh) % _BLOCK == 0:
            _save(path, {**known, **_by_key(keys, fresh)})
    found = [fresh[i] if i in fresh else known[key or ""] for i, key in enumerate(keys)]
    if fresh:
        _save(path, _by_key(keys, dict(enumerate(found))))
    return found


def _inspect_all(
    clips: Sequence[tuple[Clip, Part]], places: Sequence[int], longest_s: float
) -> Iterator[tuple[int, Inspection]]:
    # block by block: what waits in a pool takes memory
    blocks = (places[start : start + _BLOCK] for start in range(0, len(places), _BLOCK))
    with ThreadPoolExecutor() as pool:
        made = (each for block in blocks for each in pool.map(lambda i: _inspect(*clips[i], longest_s), block))
        yield from zip(places, track(made, "checking audio", len(places)), strict=True)


def _by_key(keys: Sequence[str | None], found: dict[int, Inspection]) -> dict[str, Inspection]:
    # problems are not remembered: they may be those of a disk, or mended otherwise than in the file
    return {key: found[i] for i, key in enumerate(keys) if key is not None and i in found and not found[i].problem}


def _find_key(clip: Clip, part: Part, longest_s: float) -> str | None:
    stamp = clip.stamp()
    return None if stamp is None else f"{_VERSION}:{stamp}:{part[0]!r}:{part[1]!r}:{longest_s:g}"


def _inspect(clip: Clip, part: Part, longest_s: float) -> Inspection:
    offset_s, duration_s = part
    try:
        with clip.open() as file:
            samples = read_audio(file, offset_s=offset_s, duration_s=duration_s, longest_s=longest_s)
    except ValueError as error:
        return Inspection(problem=str(error))
    return Inspection(hashlib.sha256(samples.tobytes()).hexdigest(), len(samples) / SAMPLE_RATE)


def _load(path: Path) -> dict[str, Inspection]:
    try:
        rows = pq.read_table(path, schema=_SCHEMA).to_pylist()
    except (OSError, pa.ArrowInvalid):  # none yet, or another version's
        return {}
    return {row.pop("key"): Inspection(**row) for row in rows}


def _save(path: Path, known: dict[str, Inspection]) -> None:
    columns = {name: [getattr(each, name) for each in known.values()] for name in _SCHEMA.names[1:]}
    table = pa.Table.from_pydict({"key": list(known), **columns}, _SCHEMA)
    write_atomically(path, lambda file: pq.write_table(table, file))
