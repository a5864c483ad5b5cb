"""Keep what each utterance sounded like to a system, with its counts of errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    [("system", pa.string()), ("seed", pa.int64())]
    + [(name, pa.string()) for name in ("id", "kind", "reference", "hypothesis")]
    + [(name, pa.int64()) for name in _COUNTS]
)


def save_utterances(path: Path, rows: Sequence[Mapping[str, Any]], normaliser: str) -> None:
    """Write one row for each training of a system and each utterance, atomically.

    Args:
        path: A Parquet file.
        rows: `system` is its name or its trial's id, `seed` what it was trained with; the utterance's
            `id`, normalised `reference` and `hypothesis`, the counts of errors, and `kind`, the kind
            of error that the production system makes on it.
        normaliser: What both were normalised by, with its version; kept in the file's metadata.
    """
    table = pa.Table.from_pylist(list(rows), _SCHEMA.with_metadata({"normaliser": normaliser}))
    write_atomically(path, lambda file: pq.write_table(table, file))
