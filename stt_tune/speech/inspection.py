"""Decode every clip once, and remember what was found while its file stays as it is."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import platformdirs
import pyarrow as pa
import pyarrow.parquet as pq

from stt_tune.files import write_atomically
from stt_tune.progress import track
from stt_tune.speech.audio import SAMPLE_RATE, read_audio
from stt_tune.speech.clip import Clip

_VERSION = 1  # raised whenever an inspection finds something else
_SAVE_EVERY = 5000  # clips; so many are decoded again after a kill
_SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("audio_hash", pa.string()),
        ("duration_s", pa.float64()),
        ("problem", pa.string()),
    ]
)
Part = tuple[float, float | None]


@dataclass(frozen=True)
class Inspection:
    """What was found in a clip.

    Attributes:
        audio_hash: SHA-256 of its file; of its samples, where it is a part of one.
        duration_s: Its length; 0 where it cannot be used.
        problem: Why it cannot; None if it can.
    """

    audio_hash: str = ""
    duration_s: float = 0.0
    problem: str | None = None


def cache_folder() -> Path:
    """Where what was prepared once is kept for later runs; all of it may be deleted."""
    return platformdirs.user_cache_path("stt_tune") / "prepared"


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
    new = [i for i, key in enumerate(keys) if key is None or key not in known]
    with ThreadPoolExecutor() as pool:
        made = pool.map(lambda i: _inspect(*clips[i], longest_s), new)
        fresh = dict(_saving(zip(new, track(made, "checking audio", len(new)), strict=True), keys, known, path))
    return [fresh[i] if i in fresh else known[keys[i] or ""] for i in range(len(clips))]


def _saving(
    found: Iterator[tuple[int, Inspection]], keys: Sequence[str | None], known: dict[str, Inspection], path: Path
) -> Iterator[tuple[int, Inspection]]:
    """Pass what is found through, and save it now and then and at the end."""
    unsaved = 0
    for i, inspection in found:
        key = keys[i]
        if key is not None:
            known[key] = inspection
            unsaved += 1
        if unsaved >= _SAVE_EVERY:
            _save(path, {key: known[key] for key in keys if key is not None and key in known})
            unsaved = 0
        yield i, inspection
    if unsaved:
        _save(path, {key: known[key] for key in keys if key is not None and key in known})


def _find_key(clip: Clip, part: Part, longest_s: float) -> str | None:
    stamp = clip.stamp()
    return None if stamp is None else f"{_VERSION}:{stamp}:{part[0]:g}:{part[1]}:{longest_s:g}"


def _inspect(clip: Clip, part: Part, longest_s: float) -> Inspection:
    offset_s, duration_s = part
    try:
        with clip.open() as file:
            samples = read_audio(file, offset_s=offset_s, duration_s=duration_s, longest_s=longest_s)
            if offset_s or duration_s is not None:  # the file may hold hours, and thousands of clips
                digest = hashlib.sha256(samples.tobytes())
            else:
                file.seek(0)
                digest = hashlib.file_digest(file, "sha256")
    except ValueError as error:
        return Inspection(problem=str(error))
    return Inspection(digest.hexdigest(), len(samples) / SAMPLE_RATE)


def _load(path: Path) -> dict[str, Inspection]:
    try:
        rows = pq.read_table(path, schema=_SCHEMA).to_pylist()
    except (OSError, pa.ArrowInvalid):  # none yet, or another version's
        return {}
    return {row.pop("key"): Inspection(**row) for row in rows}


def _save(path: Path, known: dict[str, Inspection]) -> None:
    rows = [{"key": key, **asdict(inspection)} for key, inspection in known.items()]
    table = pa.Table.from_pylist(rows, _SCHEMA)
    write_atomically(path, lambda file: pq.write_table(table, file))
