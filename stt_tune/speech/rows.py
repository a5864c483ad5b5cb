"""Read rows that describe utterances, from whatever people keep them in."""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stt_tune.errors import ManifestError, first_line
from stt_tune.progress import say
from stt_tune.speech.clip import Clip, DatasetClip, FileClip
from stt_tune.speech.remote import fetch_clips, fetch_rows
from stt_tune.storage import as_path, is_url, join_url

HUB = "hf:"
_LOOKED_AT = 1000  # rows, to find out what the columns are
_SAVED = ("dataset_info.json", "dataset_dict.json")  # a data set's own folder has one of them
_LONGEST_LINE = 2**20  # bytes; a row is a few hundred
# What other tools call our fields, the likeliest first.
_SYNONYMS = {
    "audio": ("audio", "audio_filepath", "audio_path", "path", "file", "file_name", "filename", "wav"),
    "text": ("text", "transcript", "transcription", "sentence", "reference", "correct", "correct_text", "label"),
    "hypothesis": ("hypothesis", "heard", "pred_text", "prediction", "predicted", "asr_output", "stt_output"),
    "id": ("id", "utterance_id", "utt_id", "uid"),
    "speaker": ("speaker", "speaker_id", "client_id", "spk"),
    "session": ("session", "session_id", "conversation_id", "call_id"),
    "error_type": ("error_type", "error_kind"),
    "split": ("split", "subset", "partition"),
    "offset_s": ("offset_s", "offset", "start"),
    "duration_s": ("duration_s", "duration"),
}
FIELDS = tuple(_SYNONYMS)
_NAMES = ("id", "speaker", "session")
# Splits as others call them.
_SPLITS = {"validation": "dev", "valid": "dev", "val": "dev", "eval": "dev"}


@dataclass(frozen=True, slots=True)
class Row:
    """One row, before it is checked.

    Attributes:
        line: Its line or number in the source, from 1.
        fields: By our names; what the source does not have is missing.
        clip: Its audio; None where the row names none.
        problem: Why it could not be read; but for its audio, the rest is then empty.
    """

    line: int
    fields: Mapping[str, Any]
    clip: Clip | None = None
    problem: str | None = None


def read_rows(source: str, *, split: str | None = None, columns: Mapping[str, str] | None = None) -> list[Row]:
    """Read every row of a source, good or bad.

    Args:
        source: A manifest (JSONL, as NeMo writes it too, CSV, TSV or Parquet), a folder with audio and
            `metadata.csv` or `metadata.jsonl`, a data set that `datasets` has saved, each as a path or a
            URL that fsspec knows; or `hf:NAME` of one on the Hugging Face hub. What is behind URLs is
            fetched, if it has not been yet.
        split: Of a data set: only this one; None: all, by their names.
        columns: Our name to the source's, or to nothing where it has none; what is not named is guessed,
            and said.

    Raises:
        ManifestError: The source cannot be read, or holds no row, or no column for audio or text.
        StorageError: It is behind a URL, and cannot be reached.
    """
    is_remote = is_url(source)
    path = fetch_rows(source, _SAVED) if is_remote else Path(as_path(source.removeprefix(HUB)))
    if (source.startswith(HUB) and not is_remote) or any((path / name).exists() for name in _SAVED):
        rows = _read_dataset(source, path, split)
    elif path.is_dir():
        rows = _read_folder(source, path, split)
    elif split is not None:
        raise ManifestError(f"--split {split}: is for data sets and folders, and {source} is a file. Leave it out.")
    else:
        rows = _read_file(source, path)
    first = list(itertools.islice(rows, _LOOKED_AT))
    if not first:
        raise ManifestError(f"{source}: the manifest must hold at least one row, found none.")
    names = _map_columns(source, first, columns or {})
    base = source if is_remote else str(path)
    if not path.is_dir():
        base = join_url(source, "..") if is_remote else str(path.parent)
    return _fetch_audio([_rename(row, names, base) for row in itertools.chain(first, rows)])


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
    """
    if source and not source.startswith(HUB) and not is_url(source) and not Path(as_path(source)).exists():
        raise ManifestError(f"{source}: the manifest must be a readable file, found none there. {advice}")


def _read_file(source: str, path: Path) -> Iterator[Row]:
    match path.suffix.lower():
        case ".csv" | ".tsv":
            return _read_csv(source, path)
        case ".parquet":
            return _read_parquet(source, path)
    return _read_jsonl(source, path)


def _read_folder(source: str, folder: Path, split: str | None) -> Iterator[Row]:
    """Read an audiofolder: metadata files, each naming files beside it; folders are called as splits."""
    found = sorted(path for path in folder.glob("**/metadata.*") if path.suffix in (".csv", ".jsonl", ".parquet"))
    parts = {path: path.parent.relative_to(folder).parts[:1] for path in found}
    names = dict.fromkeys(part for (part,) in filter(None, parts.values()))
    if not found:
        raise ManifestError(f"{source}: must hold a metadata.csv or metadata.jsonl, and does not. Check --data.")
    if split is not None and split not in names:
        raise ManifestError(f"--split {split}: must be one of {', '.join(names) or 'none'}.")
    number = 0
    for path, part in parts.items():
        if split is not None and part != (split,):
            continue
        for row in _read_file(f"{source}/{path.relative_to(folder)}", path):
            number += 1
            fields = dict(row.fields)
            if "file_name" in fields:
                fields["file_name"] = str(path.parent.relative_to(folder) / str(fields["file_name"]))
            own = {"split": part[0]} if part and split is None and len(names) > 1 else {}
            yield Row(number, {**own, **fields} if fields else {}, problem=row.problem)


def _read_jsonl(source: str, path: Path) -> Iterator[Row]:
    try:
        file = path.open("rb")
    except OSError as error:
        raise ManifestError(
            f"{source}: the manifest must be a readable file, found: {error.strerror}. Check --data."
        ) from error
    with file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            if len(line) > _LONGEST_LINE:
                yield Row(number, {}, problem=f"the line must be shorter than 1 MB, found {len(line) / 1e6:.1f} MB")
                continue
            try:
                fields = json.loads(line.decode("utf-8-sig"))
            except (ValueError, RecursionError) as error:
                yield Row(number, {}, problem=f"the line must be JSON in UTF-8 ({error})")
                continue
            if isinstance(fields, dict):
                yield Row(number, fields)
            else:
                yield Row(number, {}, problem=f"the line must be a JSON object, found {type(fields).__name__}")


def _read_csv(source: str, path: Path) -> Iterator[Row]:
    # quotation marks mean nothing in tables that are separated by tabs
    form: Any = {"delimiter": "\t", "quoting": csv.QUOTE_NONE} if path.suffix.lower() == ".tsv" else {}
    line = 0
    try:
        # what is no UTF-8 is kept as lone surrogates, to be told row by row
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            reader = csv.DictReader(file, strict=True, **form)
            for fields in reader:
                line = reader.line_num
                text = "".join(str(value) for value in fields.values())
                problem = None
                if None in fields or None in fields.values():
                    problem = f"the line must have {len(reader.fieldnames or ())} fields, as the first has"
                elif any(0xDC80 <= ord(character) <= 0xDCFF for character in text):
                    problem = "the line must be UTF-8"
                yield Row(line, {} if problem else fields, problem=problem)
    except (OSError, csv.Error) as error:
        raise ManifestError(
            f"{source}:{line + 1}: the manifest must be a readable CSV file ({error}). Check --data."
        ) from error


def _read_parquet(source: str, path: Path) -> Iterator[Row]:
    import datasets
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(path)
        if any(pa.types.is_struct(each.type) for each in schema):  # audio inside its row
            yield from _list_dataset(datasets.Dataset.from_parquet(str(path)), {}, 0)
            return
        number = 0
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=256):
                for fields in batch.to_pylist():
                    number += 1
                    yield Row(number, fields)
    except (OSError, pa.ArrowInvalid) as error:
        raise ManifestError(
            f"{source}: the manifest must be a readable Parquet file ({error}). Check --data."
        ) from error


def _read_dataset(source: str, path: Path, split: str | None) -> Iterator[Row]:
    import datasets

    try:
        is_saved = any((path / file).exists() for file in _SAVED)
        loaded = datasets.load_from_disk(str(path)) if is_saved else datasets.load_dataset(str(path))
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        reason = first_line(error)
        raise ManifestError(f"{source}: must be a data set that can be loaded, and is not ({reason}).") from error
    parts = loaded if isinstance(loaded, datasets.DatasetDict) else {split or "": loaded}
    if split is not None and split not in parts:
        raise ManifestError(f"--split {split}: must be one of {', '.join(parts)}.")
    number = 0
    for part, dataset in parts.items():
        if split is None or part == split:
            # a single split is to be divided; several are what they are called
            own = {} if split is not None or len(parts) == 1 else {"split": part}
            yield from _list_dataset(dataset, own, number)
            number += len(dataset)


def _list_dataset(dataset: Any, own: Mapping[str, Any], number: int) -> Iterator[Row]:
    """Give the rows of a data set after `number` others; audio in them stays where it is."""
    import datasets

    for name, feature in dataset.features.items():
        if isinstance(feature, datasets.Audio):  # decoding it here would need FFmpeg
            dataset = dataset.cast_column(name, datasets.Audio(decode=False))
    for i, fields in enumerate(dataset):
        clips = {
            name: DatasetClip(f"{number + i + 1}-{value.get('path') or ''}", dataset, i, name)
            for name, value in fields.items()
            if isinstance(value, Mapping) and value.get("bytes") is not None
        }
        yield Row(number + i + 1, {**own, **fields, **clips})


def _map_columns(source: str, rows: Sequence[Row], columns: Mapping[str, str]) -> dict[str, str]:
    """Find the source's name of each of our fields, and say where it was guessed."""
    there = dict.fromkeys(name for row in rows for name in row.fields)
    unknown = [
        f"{name}={column}" for name, column in columns.items() if name not in FIELDS or (column and column not in there)
    ]
    if unknown:
        raise ManifestError(
            f"--columns {','.join(unknown)}: must be pairs of {', '.join(FIELDS)} and a column; {source} has "
            f"{', '.join(there) or 'none'}."
        )
    names = {name: column for name, column in columns.items() if column}
    there_as = {name.strip().lower(): name for name in reversed(there)} | {name: name for name in there}
    for field, synonyms in _SYNONYMS.items():
        if field not in columns:
            found = (there_as[name] for name in synonyms if name in there_as)
            guess = next((name for name in found if name not in names.values()), None)
            if guess is not None:
                names[field] = guess
    missing = [field for field in ("audio", "text") if field not in names] if there else []
    if missing:
        raise ManifestError(
            f"{source}: must have columns for audio and text; {' and '.join(missing)} cannot be found among "
            f"{', '.join(there)}. Name them: --columns {','.join(f'{field}=COLUMN' for field in missing)}."
        )
    guessed = [f"{field} is {name}" for field, name in names.items() if field != name and field not in columns]
    if guessed:
        say(f"columns of {source}: {', '.join(guessed)}")
    return names


def _rename(row: Row, names: Mapping[str, str], folder: str) -> Row:
    if row.problem:
        return row
    fields = {field: row.fields[name] for field, name in names.items() if row.fields.get(name) not in (None, "")}
    audio = fields.pop("audio", None)
    if isinstance(fields.get("split"), str):
        called = fields["split"].strip().lower()
        fields["split"] = _SPLITS.get(called, called)
    for name in _NAMES:  # data sets often number them
        if isinstance(fields.get(name), int) and not isinstance(fields[name], bool):
            fields[name] = str(fields[name])
    if isinstance(audio, Mapping):  # as data sets keep it, where the bytes are in a file
        audio = audio.get("path")
    clip: Clip | None
    if isinstance(audio, DatasetClip):
        clip = audio
    elif isinstance(audio, str):
        clip = _find_file(audio, folder)
    elif audio is None:
        clip = None
    else:
        return Row(row.line, {}, problem=f"audio must be a string, found {audio!r}")
    return Row(row.line, fields, clip)


def _find_file(name: str, folder: str) -> FileClip:
    """A clip by its path or URL, which may be relative to the manifest's folder."""
    local = Path(as_path(name))
    if is_url(name):
        return FileClip(name, local, name)
    if is_url(folder) and not local.is_absolute():
        return FileClip(name, local, join_url(folder, name))
    return FileClip(name, (folder / local).absolute())
