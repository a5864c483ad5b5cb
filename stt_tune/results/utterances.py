"""Keep what each utterance sounded like to a system, with its counts of errors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stt_tune.files import write_atomically

_COUNTS = (
    "substitutions",
    "pronunciations",
    "deletions",
    "insertions",
    "words",
    "character_errors",
    "characters",
)
_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("system", "id", "kind", "reference", "hypothesis")]
    + [(name, pa.int64()) for name in _COUNTS]
)


def save_utterances(path: Path, systems: Mapping[str, Iterable[Mapping[str, Any]]], normaliser: str) -> None:
    """Write one row for each system and utterance, atomically.

    Args:
        path: A Parquet file.
        systems: By name: its utterances with normalised `reference` and `hypothesis`, the counts of
            errors, and `kind`, the kind of error that the production system makes on it.
        normaliser: What both were normalised by, with its version; kept in the file's metadata.
    """
    rows = [{"system": name, **row} for name, utterances in systems.items() for row in utterances]
    table = pa.Table.from_pylist(rows, _SCHEMA.with_metadata({"normaliser": normaliser}))
    write_atomically(path, lambda file: pq.write_table(table, file))
