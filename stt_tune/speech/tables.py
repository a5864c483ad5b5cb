"""Read rows from one file: JSONL, CSV, TSV or Parquet."""

from __future__ import annotations

import codecs
import csv
import glob
import io
import itertools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stt_tune.errors import ManifestError, first_line
from stt_tune.speech.clip import DatasetClip
from stt_tune.speech.row import Row

_LONGEST_LINE = 2**20  # bytes; a row is a few hundred


def read_file(source: str, path: Path) -> Iterator[Row]:
    """Read a table, of the kind that its name says.

    Args:
        source: As messages call it.
        path: On this machine.
    """
    match path.suffix.lower():
        case ".csv" | ".tsv":
            return _read_csv(source, path)
        case ".parquet":
            return _read_parquet(source, path)
    return _read_jsonl(source, path)


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
    line = 0
    try:
        with path.open("rb") as file:
            lines = _decode(file)
            header = lines.readline()
            reader = csv.DictReader(itertools.chain([header], lines), strict=True, **_find_form(path, header))
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
    except (OSError, ValueError, csv.Error) as error:
        raise ManifestError(
            f"{source}:{line + 1}: the manifest must be a readable CSV file ({error}). Check --data."
        ) from error


def _decode(file: io.BufferedReader) -> io.TextIOWrapper:
    """Read text as UTF-8, or as UTF-16 where it begins with that one's mark, as Excel's does."""
    if file.peek(2)[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return io.TextIOWrapper(file, encoding="utf-16", errors="surrogatepass", newline="")
    # what is no UTF-8 is kept as lone surrogates, to be told row by row
    return io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")


def _find_form(path: Path, header: str) -> dict[str, Any]:
    if path.suffix.lower() == ".tsv":  # quotation marks mean nothing in tables that are separated by tabs
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
