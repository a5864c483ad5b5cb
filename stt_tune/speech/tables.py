"""Read rows from one file: JSONL, JSON, CSV, TSV or Parquet."""

from __future__ import annotations

import codecs
import contextlib
import csv
import glob
import gzip
import io
import itertools
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from stt_tune.errors import ManifestError, first_line
from stt_tune.speech.clip import DatasetClip
from stt_tune.speech.row import Row
from stt_tune.storage import cut_query

_LONGEST_LINE = 2**20  # bytes; a row is a few hundred
_START = 64  # bytes; what a document begins with is among them
_KINDS = (".csv", ".tsv", ".parquet", ".json", ".jsonl")
_GZIP = b"\x1f\x8b"


def read_file(source: str, path: Path) -> Iterator[Row]:
    """Read a table, of the kind that its name says.

    Args:
        source: As messages call it.
        path: On this machine.
    """
    match _find_suffix(source):
        case ".csv" | ".tsv":
            return _read_csv(source, path)
        case ".parquet":
            return _read_parquet(source, path)
    return _read_json(source, path)


def _find_suffix(source: str) -> str:
    """The kind of a table by its name, packed or not, before the query of a URL or, as in `get?file=a.csv`, in it."""
    found = (PurePosixPath(name.lower().removesuffix(".gz")).suffix for name in (cut_query(source), source))
    return next((suffix for suffix in found if suffix in _KINDS), "")


@contextlib.contextmanager
def _opening(path: Path) -> Iterator[io.BufferedReader]:
    """Open a file for its bytes, which gzip may have packed."""
    with path.open("rb") as file:
        if file.peek(2)[:2] != _GZIP:
            yield file
            return
        with gzip.open(file) as unpacked:
            yield io.BufferedReader(unpacked)


def _read_json(source: str, path: Path) -> Iterator[Row]:
    try:
        with _opening(path) as file:
            start = file.peek(_START).removeprefix(codecs.BOM_UTF8).lstrip()
            whole = _find_suffix(source) == ".json" and (start[:1] == b"[" or start.splitlines()[:1] == [b"{"])
            yield from _list_rows(source, file.read()) if whole else _read_lines(file)
    except (OSError, EOFError, zlib.error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise ManifestError(
            f"{source}: the manifest must be a readable file, found: {reason}. Check --data."
        ) from error


def _list_rows(source: str, text: bytes) -> Iterator[Row]:
    """Give the rows of a JSON document, which is a list of them."""
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"{source}: must be a list of rows in JSON, or hold one a line ({error}).") from error
    if not isinstance(rows, list):
        raise ManifestError(f"{source}: must be a list of rows in JSON, or hold one a line, found an object.")
    for number, fields in enumerate(rows, start=1):
        yield _check_object(number, fields, "row")


def _read_lines(file: Iterable[bytes]) -> Iterator[Row]:
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
        yield _check_object(number, fields, "line")


def _check_object(number: int, fields: Any, what: str) -> Row:
    if isinstance(fields, dict):
        return Row(number, fields)
    return Row(number, {}, problem=f"the {what} must be a JSON object, found {type(fields).__name__}")


def _read_csv(source: str, path: Path) -> Iterator[Row]:
    line = 0
    try:
        with _opening(path) as file:
            lines = _decode(file)
            header = lines.readline()
            reader = csv.DictReader(itertools.chain([header], lines), strict=True, **_find_form(source, header))
            for fields in reader:
                line = reader.line_num
                text = "".join(str(value) for value in fields.values())
                problem = None
                if None in fields or None in fields.values():
                    problem = f"the line must have {len(reader.fieldnames or ())} fields, as the first has"
                elif any(0xDC80 <= ord(character) <= 0xDCFF for character in text):
                    problem = "the line must be UTF-8"
                # an empty cell cannot say whether it is empty or unknown, and only the latter claims nothing
                yield Row(line, {} if problem else {k: v.strip() or None for k, v in fields.items()}, problem=problem)
    except (OSError, EOFError, zlib.error, ValueError, csv.Error) as error:
        raise ManifestError(
            f"{source}:{line + 1}: the manifest must be a readable CSV file ({error}). Check --data."
        ) from error


def _decode(file: io.BufferedReader) -> io.TextIOWrapper:
    """Read text as UTF-8, or as UTF-16 where it begins with that one's mark, as Excel's does."""
    if file.peek(2)[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return io.TextIOWrapper(file, encoding="utf-16", errors="surrogatepass", newline="")
    # what is no UTF-8 is kept as lone surrogates, to be told row by row
    return io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")


def _find_form(source: str, header: str) -> dict[str, Any]:
    if _find_suffix(source) == ".tsv":  # quotation marks mean nothing in tables that are separated by tabs
        return {"delimiter": "\t", "quoting": csv.QUOTE_NONE}
    # Excel writes semicolons or tabs into a CSV, by the country that it is in
    return {"delimiter": max(",;\t", key=header.count), "skipinitialspace": True}


def _read_parquet(source: str, path: Path) -> Iterator[Row]:
    import datasets
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(path)
        inside = (pa.types.is_struct, pa.types.is_binary, pa.types.is_large_binary)
        if any(is_inside(each.type) for each in schema for is_inside in inside):  # audio may be in its row
            yield from list_dataset(datasets.Dataset.from_parquet(glob.escape(str(path))), {}, 0)
            return
        number = 0
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=256):
                for fields in batch.to_pylist():
                    number += 1
                    yield Row(number, fields)
    except (OSError, ValueError, pa.ArrowException, datasets.exceptions.DatasetsError) as error:
        raise ManifestError(
            f"{source}: the manifest must be a readable Parquet file ({first_line(error)}). Check --data."
        ) from error


def list_dataset(dataset: Any, own: Mapping[str, Any], number: int) -> Iterator[Row]:
    """Give the rows of a data set after `number` others; audio in them stays where it is."""
    import datasets

    for name, feature in dataset.features.items():
        if isinstance(feature, datasets.Audio):  # decoding it here would need FFmpeg
            dataset = dataset.cast_column(name, datasets.Audio(decode=False))
    for i, fields in enumerate(dataset):
        clips = {
            name: DatasetClip(f"{number + i + 1}-{path or ''}", dataset, i, name)
            for name, value in fields.items()
            for path, data in [_unpack(value)]
            if data is not None
        }
        yield Row(number + i + 1, {**own, **fields, **clips})


def _unpack(value: Any) -> tuple[str | None, bytes | None]:
    """The path and the bytes of audio, as far as a value of a data set has them."""
    if isinstance(value, bytes):
        return None, value
    return (value.get("path"), value.get("bytes")) if isinstance(value, Mapping) else (None, None)
