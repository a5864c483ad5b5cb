"""Read rows that describe utterances, from whatever people keep them in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from stt_tune.errors import ManifestError
from stt_tune.files import look
from stt_tune.progress import say
from stt_tune.speech.clip import FileClip
from stt_tune.speech.columns import gather, map_columns, rename
from stt_tune.speech.folders import SAVED, read_dataset, read_folder
from stt_tune.speech.remote import fetch_clips, fetch_rows
from stt_tune.speech.row import Row
from stt_tune.speech.tables import read_file
from stt_tune.storage import as_path, is_url, join_url

HUB = "hf:"


def read_rows(source: str, *, split: str | None = None, columns: Mapping[str, str] | None = None) -> list[Row]:
    """Read every row of a source, good or bad.

    Args:
        source: A manifest (JSONL, as NeMo writes it too, JSON, CSV, TSV or Parquet), a folder with audio and
            `metadata.csv` or `metadata.jsonl`, a data set that `datasets` has saved (or, as a path alone,
            whose Parquet was downloaded from the hub), each as a path or a URL that fsspec knows; or
            `hf:NAME` of one on the Hugging Face hub. What is behind URLs is fetched, if it has not been yet.
        split: Of a data set: only this one; None: all, by their names.
        columns: Our name to the source's, or to nothing where it has none; what is not named is guessed,
            and said.

    Raises:
        ManifestError: The source cannot be read, or holds no row, or no column for audio or text.
        SettingsError: Its path may not be looked at.
        StorageError: It is behind a URL, and cannot be reached.
    """
    is_remote = is_url(source)
    path = fetch_rows(source, SAVED) if is_remote else Path(as_path(source.removeprefix(HUB)))
    if (source.startswith(HUB) and not is_remote) or any(look(path / name) for name in SAVED):
        rows = read_dataset(source, path, split)
    elif path.is_dir():
        rows = read_folder(source, path, split)
    elif split is not None:
        raise ManifestError(f"--split {split}: is for data sets and folders, and {source} is a file. Leave it out.")
    else:
        rows = read_file(source, path)
    found, there = gather(rows, columns or {})
    if not found:
        raise ManifestError(f"{source}: the manifest must hold at least one row, found none.")
    names = map_columns(source, there, columns or {})
    base = source if is_remote else str(path)
    if not path.is_dir():
        base = join_url(source, "..") if is_remote else str(path.parent)
    for i, row in enumerate(found):  # in its place: there may be millions
        found[i] = rename(row, names, base)
    if "hypothesis" in names:
        _tell_of_hypotheses(source, [row.fields.get("hypothesis") for row in found if not row.problem])
    return _fetch_audio(found)


def _tell_of_hypotheses(source: str, hypotheses: Sequence[Any]) -> None:
    """Say how many are taken for nothing heard, and how many for not known, which look alike in some sources."""
    nothing, unknown = hypotheses.count(""), hypotheses.count(None)
    if nothing or unknown:
        say(
            f'hypothesis of {source}: of {len(hypotheses)} rows, {nothing} say that nothing was heard (""), and '
            f"{unknown} do not say what was (null, or an empty cell of a CSV or TSV)"
        )


def _fetch_audio(rows: list[Row]) -> list[Row]:
    """Put files of this machine in the place of audio that is named by URLs."""
    urls = dict.fromkeys(row.clip.url for row in rows if isinstance(row.clip, FileClip) and row.clip.url)
    if not urls:
        return rows
    found = fetch_clips(urls)
    return [_place(row, row.clip, found) if isinstance(row.clip, FileClip) else row for row in rows]


def _place(row: Row, clip: FileClip, found: Mapping[str, Path | str]) -> Row:
    file = found.get(clip.url or "")
    if isinstance(file, str):
        return replace(row, problem=f"audio {clip.name} {file}")
    return replace(row, clip=replace(clip, path=file)) if file else row


def check_there(source: str | None, advice: str = "Check the path.") -> None:
    """Refuse a source that would be on this machine and is not, before anything is loaded for it.

    Args:
        source: A path, a URL, or a name on the hub.
        advice: What to do.

    Raises:
        ManifestError: It is not there.
        SettingsError: It may not be looked at.
    """
    if source and not source.startswith(HUB) and not is_url(source) and not look(Path(as_path(source))):
        raise ManifestError(f"{source}: the manifest must be a readable file, found none there. {advice}")
