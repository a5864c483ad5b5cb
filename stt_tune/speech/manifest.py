"""Check every row of a manifest before anything is trained."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stt_tune.errors import ManifestError
from stt_tune.speech.audio import read_audio
from stt_tune.speech.clip import Clip
from stt_tune.speech.inspection import Inspection, Part, inspect_clips
from stt_tune.speech.normalisers import Normalise
from stt_tune.speech.rates import KINDS
from stt_tune.speech.row import Row, show
from stt_tune.speech.rows import read_rows

SPLITS = ("train", "dev", "test")
LONGEST_S = 64.0  # what the most patient family takes
_TEXT_FIELDS = ("text", "id", "hypothesis", "speaker", "session", "error_type", "split")
_TIME_FIELDS = ("offset_s", "duration_s", "end_s")
_ROUNDED_S = 0.1  # so far may an end lie from offset and duration, as all three are written with few digits
# The fastest speakers say about 7 words a second; what is beyond is the transcript of another clip.
_WORDS, _WORDS_PER_S = 2, 10
FindMisfit = Callable[[float, str], str | None]


@dataclass(frozen=True, slots=True)
class Utterance:
    """One row of a manifest whose audio was decoded and found sound.

    Attributes:
        id: Unique in the manifest; the audio's path, with its offset, where the row names none.
        clip: Its audio.
        text: The correct transcript.
        hypothesis: What the production system heard, if known; empty where that was nothing.
        speaker: Who speaks, if known.
        session: The conversation that it is from, if known.
        error_type: The kind of error that the system makes, one of `KINDS`, where the manifest says so.
        split: One of `SPLITS`, or None while it is not yet assigned.
        part: Where it is in the clip's file: offset and duration in seconds; None: to the end.
        duration_s: Length, as decoded.
        audio_hash: SHA-256 of its samples.
    """

    id: str
    clip: Clip
    text: str
    hypothesis: str | None
    speaker: str | None
    session: str | None
    error_type: str | None
    split: str | None
    part: Part
    duration_s: float
    audio_hash: str


@dataclass(frozen=True)
class Rejected:
    """One bad row.

    Attributes:
        line: Its line or number in the manifest.
        reason: Why it cannot be used.
        row: What it holds, by our names, as far as it can be read.
    """

    line: int
    reason: str
    row: Mapping[str, Any]

    @classmethod
    def of(cls, row: Row, reason: str) -> Rejected:
        """Reject a row."""
        return cls(row.line, reason, {"audio": row.clip.name, **row.fields} if row.clip else row.fields)

    def to_json(self) -> str:
        """A line of `rejected.jsonl`."""
        line = json.dumps({"line": self.line, "reason": self.reason, "row": self.row}, ensure_ascii=False, default=show)
        return line.encode(errors="backslashreplace").decode()  # halves of characters as JSON writes them


def read_manifest(
    source: str | Path,
    *,
    max_duration_s: float,
    normalise: Normalise,
    find_misfit: FindMisfit = lambda _duration_s, _text: None,
    split: str | None = None,
    columns: Mapping[str, str] | None = None,
) -> tuple[list[Utterance], list[Rejected]]:
    """Read a manifest and decode every clip that it names.

    Args:
        source: As `read_rows` takes it. Rows have `audio` (relative to the manifest) and `text`,
            optionally `id`, `hypothesis`, `speaker`, `session`, `error_type`, `split`, and
            `offset_s` with `duration_s` or `end_s` where the audio is part of a longer file; other
            fields are ignored.
        max_duration_s: The longest clip that the model takes whole.
        normalise: A transcript must not be empty after it.
        find_misfit: Says why the model cannot learn a transcript from a clip of a length, in seconds.
        split: Of a data set: only this one.
        columns: Our names to the source's.

    Returns:
        The good rows and the bad ones, each in the manifest's order.

    Raises:
        ManifestError: The manifest itself cannot be read.
    """
    rows = read_rows(str(source), split=split, columns=columns)
    rejected = [Rejected.of(row, reason) for row in rows if (reason := row.problem or _refuse(row, normalise))]
    bad = {each.line for each in rejected}
    rows, twice = _set_apart_duplicates([row for row in rows if row.line not in bad])
    rejected += twice
    parts = [(row.clip, _part(row)) for row in rows if row.clip]
    inspections = inspect_clips(str(source), parts, longest_s=max_duration_s)
    utterances = []
    for row, inspection in zip(rows, inspections, strict=True):
        made = _make(row, inspection, find_misfit)
        if isinstance(made, Utterance):
            utterances.append(made)
        else:
            rejected.append(made)
    return utterances, sorted(rejected, key=lambda each: each.line)


def read_sound(source: str, *, skip_bad: bool, **reading: Any) -> tuple[list[Utterance], list[Rejected]]:
    """Read a manifest whose bad rows stop everything, unless they may be left out and others remain.

    Args:
        source: As `read_manifest` takes it.
        skip_bad: Whether bad rows may be left out.
        **reading: What else `read_manifest` takes.

    Raises:
        ManifestError: The manifest cannot be read, or its bad rows are told, all at once.
    """
    utterances, rejected = read_manifest(source, **reading)
    if rejected and not (skip_bad and utterances):
        raise reject(source, rejected, are_all=not utterances)
    return utterances, rejected


def reject(source: str | Path, rejected: Iterable[Rejected], *, are_all: bool = False) -> ManifestError:
    """Make the error that reports all bad rows of a manifest.

    Args:
        source: The manifest.
        rejected: Its bad rows.
        are_all: Whether no row is good, so that none would remain.
    """
    lines = [f"{source}:{bad.line}: {bad.reason}" for bad in rejected]
    advice = "No row is good. Mend them." if are_all else "Mend these rows, or set them aside with --skip-bad."
    return ManifestError("\n".join([*lines, advice]))


def hash_data(utterances: Iterable[Utterance]) -> str:
    """SHA-256 over what is trained and measured on: ids, splits, transcripts, hypotheses, audio."""
    digest = hashlib.sha256()
    for utterance in sorted(utterances, key=lambda each: each.id):
        row = [
            utterance.id,
            utterance.split,
            utterance.text,
            utterance.hypothesis,
            utterance.audio_hash,
        ]
        digest.update(json.dumps(row).encode())
    return digest.hexdigest()


def _part(row: Row) -> Part:
    """Where in its file a row's audio is: offset and duration, in seconds; without an offset it is all of it."""
    fields = row.fields
    offset_s = float(fields.get("offset_s", 0))
    if "offset_s" in fields and "duration_s" in fields:
        return offset_s, float(fields["duration_s"])
    return offset_s, float(fields["end_s"]) - offset_s if "end_s" in fields else None


def _refuse_part(fields: Mapping[str, Any]) -> str | None:
    for name in _TIME_FIELDS:
        if not _is_time(fields.get(name, 0)):
            return f"{name} must be a number of seconds, found {show(fields[name])}"
    if "end_s" not in fields:
        return None
    offset_s, end_s = float(fields.get("offset_s", 0)), float(fields["end_s"])
    if end_s <= offset_s:
        return f"end_s must be later than offset_s, found an end of {end_s:g} s and an offset of {offset_s:g} s"
    if "duration_s" in fields and abs(end_s - offset_s - float(fields["duration_s"])) > _ROUNDED_S:
        return (
            f"duration_s must be that from offset_s to end_s, {end_s - offset_s:g} s, found "
            f"{float(fields['duration_s']):g} s. Leave out what is wrong: --columns end_s= or --columns duration_s="
        )
    return None


def _refuse(row: Row, normalise: Normalise) -> str | None:
    fields: Mapping[str, Any] = row.fields
    for name in _TEXT_FIELDS:
        if fields.get(name) is not None and not isinstance(fields[name], str):
            return f"{name} must be a string, found {show(fields[name])}"
    if (problem := _refuse_part(fields)) is not None:
        return problem
    if row.clip is None:
        return "audio is missing"
    text = fields.get("text") or ""
    if not text.strip():
        return "text is empty: a transcript must hold at least one word"
    if not normalise(text):
        return f"text has no word left after the normaliser, found {show(text.strip())}"
    if fields.get("split") and fields["split"] not in SPLITS:
        return f"split must be one of {', '.join(SPLITS)}, found {show(fields['split'])}"
    if fields.get("error_type") and fields["error_type"] not in KINDS:
        return f"error_type must be one of {', '.join(KINDS)}, found {show(fields['error_type'])}"
    return None


def _is_time(value: Any) -> bool:
    try:
        return not isinstance(value, bool) and 0 <= float(value) < float("inf")
    except (TypeError, ValueError):
        return False


def _find_id(row: Row) -> str:
    offset_s, _duration_s = _part(row)
    name = row.clip.name if row.clip else ""
    return row.fields.get("id") or (f"{name}@{offset_s:.12g}" if offset_s else name)


def _set_apart_duplicates(rows: Sequence[Row]) -> tuple[list[Row], list[Rejected]]:
    first_lines: dict[str, int] = {}
    unique: list[Row] = []
    rejected: list[Rejected] = []
    for row in rows:
        name = _find_id(row)
        first_line = first_lines.setdefault(name, row.line)
        if first_line == row.line:
            unique.append(row)
        else:
            rejected.append(Rejected.of(row, f"the id {name} was used before, in line {first_line}"))
    return unique, rejected


def _make(row: Row, inspection: Inspection, find_misfit: FindMisfit) -> Utterance | Rejected:
    clip = row.clip
    text = row.fields["text"].strip()
    problem = inspection.problem or _find_hurry(inspection.duration_s, text) or find_misfit(inspection.duration_s, text)
    if problem or clip is None:
        return Rejected.of(row, f"audio {clip.name if clip else ''} {problem}")
    optional = {
        name: (row.fields.get(name) or "").strip() or None for name in ("speaker", "session", "error_type", "split")
    }
    return Utterance(
        id=_find_id(row),
        clip=clip,
        text=text,
        hypothesis=row.fields.get("hypothesis"),
        part=_part(row),
        duration_s=inspection.duration_s,
        audio_hash=inspection.audio_hash,
        **optional,
    )


def _find_hurry(duration_s: float, text: str) -> str | None:
    words = len(text.split())
    if words <= _WORDS + _WORDS_PER_S * duration_s:
        return None
    return f"lasts {duration_s:.2f} s, too short for its transcript of {words} words"


def read_clip(utterance: Utterance) -> np.ndarray:
    """Decode an utterance's audio: shape [samples], float32, 16 kHz.

    Raises:
        ManifestError: It has changed since it was checked, and cannot be decoded any more.
    """
    offset_s, duration_s = utterance.part
    try:
        with utterance.clip.open() as file:
            return read_audio(file, offset_s=offset_s, duration_s=duration_s)
    except ValueError as error:
        raise ManifestError(f"audio {utterance.clip.name} was sound when it was checked, and now {error}.") from error
