"""Keep what each test utterance sounded like to the default and to the winner."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stt_tune.files import write_atomically

_COUNTS = ("substitutions", "deletions", "insertions", "words", "character_errors", "characters")
_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("system", "id", "reference", "hypothesis")]
    + [(name, pa.int64()) for name in _COUNTS]
)


def save_held_out(path: Path, systems: Mapping[str, Iterable[Mapping[str, Any]]]) -> None:
    """Write one row for each system and utterance, atomically.

    Args:
        path: A Parquet file.
        systems: By name (`default`, `winner`): its utterances with normalised `reference` and
            `hypothesis` and the counts of errors.
    """
    rows = [{"system": name, **row} for name, utterances in systems.items() for row in utterances]
    table = pa.Table.from_pylist(rows, _SCHEMA)
    write_atomically(path, lambda file: pq.write_table(table, file))
