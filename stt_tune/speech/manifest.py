"""Read a manifest of error cases and check all of it before anything is trained."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stt_tune.errors import ManifestError
from stt_tune.progress import track
from stt_tune.speech.audio import SAMPLE_RATE, read_audio
from stt_tune.speech.normalisers import Normalise
from stt_tune.speech.rates import KINDS

SPLITS = ("train", "dev", "test")
_TEXT_FIELDS = ("audio", "text", "id", "hypothesis", "speaker", "error_type", "split")


@dataclass(frozen=True)
class Utterance:
    """One row of a manifest whose audio was decoded and found sound.

    Attributes:
        id: Unique in the manifest; the audio's path where the row names none.
        audio: Absolute path.
        text: The correct transcript.
        hypothesis: What the production system heard, if known.
        speaker: Who speaks, if known.
        error_type: The kind of error that the system makes, one of `KINDS`, where the manifest says so.
        split: One of `SPLITS`, or None while it is not yet assigned.
        duration_s: Length, as decoded.
        audio_hash: SHA-256 of the audio file's bytes.
    """

    id: str
    audio: Path
    text: str
    hypothesis: str | None
    speaker: str | None
    error_type: str | None
    split: str | None
    duration_s: float
    audio_hash: str


@dataclass(frozen=True)
class Rejected:
    """One bad row: its line in the manifest, and why it cannot be used."""

    line: int
    reason: str


@dataclass(frozen=True)
class _Row:
    line: int
    fields: dict[str, Any]

    def get(self, name: str) -> str | None:
        value = self.fields.get(name)
        return value if isinstance(value, str) and value.strip() else None

    def id(self) -> str:
        return self.get("id") or str(self.fields.get("audio"))


FindMisfit = Callable[[float, str], str | None]


def read_manifest(
    path: Path,
    *,
    max_duration_s: float,
    normalise: Normalise,
    find_misfit: FindMisfit = lambda _duration_s, _text: None,
) -> tuple[list[Utterance], list[Rejected]]:
    """Read a JSONL manifest and decode every audio file that it names.

    Args:
        path: One JSON object a line: `audio` (relative to the manifest) and `text`, optionally
            `id`, `hypothesis`, `speaker`, `error_type`, `split`, `duration_s` (measured anew); other
            fields are ignored.
        max_duration_s: The longest clip that the model takes whole.
        normalise: A transcript must not be empty after it.
        find_misfit: Says why the model cannot learn a transcript from a clip of a length, in seconds.

    Returns:
        The good rows and the bad ones, each in the manifest's order.

    Raises:
        ManifestError: The manifest itself cannot be read.
    """
    rows, rejected = _parse(path)
    rows, twice = _set_apart_duplicates(rows)
    rejected += twice

    def check(row: _Row) -> Utterance | Rejected:
        try:
            utterance = _check(row, path.parent, max_duration_s, normalise)
        except ValueError as error:
            return Rejected(row.line, str(error))
        misfit = find_misfit(utterance.duration_s, utterance.text)
        return Rejected(row.line, f"audio {row.fields['audio']} {misfit}") if misfit else utterance

    with ThreadPoolExecutor() as pool:
        checked = list(track(pool.map(check, rows), "checking audio", len(rows)))
    rejected += [result for result in checked if isinstance(result, Rejected)]
    utterances = [result for result in checked if isinstance(result, Utterance)]
    return utterances, sorted(rejected, key=lambda bad: bad.line)


def reject(path: Path, rejected: Iterable[Rejected]) -> ManifestError:
    """Make the error that reports all bad rows of the manifest at `path`."""
    lines = [f"{path}:{bad.line}: {bad.reason}" for bad in rejected]
    return ManifestError("\n".join([*lines, "Mend these rows, or set them aside with --skip-bad."]))


def hash_data(utterances: Iterable[Utterance]) -> str:
    """SHA-256 over what is trained and measured on: ids, splits, transcripts, audio bytes."""
    digest = hashlib.sha256()
    for utterance in sorted(utterances, key=lambda each: each.id):
        row = [utterance.id, utterance.split, utterance.text, utterance.audio_hash]
        digest.update(json.dumps(row).encode())
    return digest.hexdigest()


def _parse(path: Path) -> tuple[list[_Row], list[Rejected]]:
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise ManifestError(
            f"{path}: the manifest must be a readable JSONL file, found: {error.strerror}. Check --data."
        ) from error
    rows: list[_Row] = []
    rejected: list[Rejected] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            fields = json.loads(line.decode("utf-8-sig"))
        except ValueError as error:
            rejected.append(Rejected(number, f"the line must be JSON in UTF-8 ({error})"))
            continue
        reason = _refuse_fields(fields)
        if reason:
            rejected.append(Rejected(number, reason))
        else:
            rows.append(_Row(number, fields))
    if not rows and not rejected:
        raise ManifestError(f"{path}: the manifest must hold at least one row, found none.")
    return rows, rejected


def _refuse_fields(fields: Any) -> str | None:
    if not isinstance(fields, dict):
        return f"the line must be a JSON object, found {type(fields).__name__}"
    for name in _TEXT_FIELDS:
        if fields.get(name) is not None and not isinstance(fields[name], str):
            return f"{name} must be a string, found {fields[name]!r}"
    if not fields.get("audio"):
        return "audio is missing"
    if not (fields.get("text") or "").strip():
        return "text is empty: a transcript must hold at least one word"
    if fields.get("split") and fields["split"] not in SPLITS:
        return f"split must be one of {', '.join(SPLITS)}, found {fields['split']!r}"
    if fields.get("error_type") and fields["error_type"] not in KINDS:
        return f"error_type must be one of {', '.join(KINDS)}, found {fields['error_type']!r}"
    return None


def _set_apart_duplicates(rows: list[_Row]) -> tuple[list[_Row], list[Rejected]]:
    first_lines: dict[str, int] = {}
    unique: list[_Row] = []
    rejected: list[Rejected] = []
    for row in rows:
        first_line = first_lines.setdefault(row.id(), row.line)
        if first_line == row.line:
            unique.append(row)
        else:
            rejected.append(Rejected(row.line, f"the id {row.id()} was used before, in line {first_line}"))
    return unique, rejected


def _check(row: _Row, folder: Path, max_duration_s: float, normalise: Normalise) -> Utterance:
    text = str(row.fields["text"]).strip()
    if not normalise(text):
        raise ValueError(f"text has no word left after the normaliser, found {text!r}")
    audio = (folder / str(row.fields["audio"])).absolute()
    if not audio.is_file():
        raise ValueError(f"audio {row.fields['audio']} is no file")
    try:
        duration_s = len(read_audio(audio)) / SAMPLE_RATE
    except ValueError as error:
        raise ValueError(f"audio {row.fields['audio']} {error}") from error
    if duration_s > max_duration_s:
        raise ValueError(
            f"audio {row.fields['audio']} lasts {duration_s:.1f} s, the model takes at most {max_duration_s:g} s"
        )
    return Utterance(
        id=row.id(),
        audio=audio,
        text=text,
        hypothesis=row.get("hypothesis"),
        speaker=row.get("speaker"),
        error_type=row.get("error_type"),
        split=row.get("split"),
        duration_s=duration_s,
        audio_hash=hashlib.sha256(audio.read_bytes()).hexdigest(),
    )
