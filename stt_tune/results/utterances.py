"""Keep what each utterance sounded like to a system, with its counts of errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from stt_tune.files import write_atomically

if TYPE_CHECKING:
    import pandas as pd

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
    + [(name, pa.string()) for name in ("id", "kind", "speaker", "reference", "hypothesis")]
    + [(name, pa.int64()) for name in _COUNTS]
)


def load_counts(path: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """Read what `save_utterances` wrote of one training: wrong, missing and extra words, and words, [utterances].

    Returns:
        None where there is no such file, or it cannot be read.
    """
    try:
        rows = pq.read_table(path, columns=["substitutions", "deletions", "insertions", "words"]).to_pylist()
    except (OSError, pa.ArrowException):
        return None
    errors = [row["substitutions"] + row["deletions"] + row["insertions"] for row in rows]
    return np.array(errors, float), np.array([row["words"] for row in rows])


def load_utterances(path: Path) -> pd.DataFrame | None:
    """Read what `save_utterances` wrote, one row a training and an utterance; files of before have no `speaker`.

    Returns:
        None where there is no such file, or it cannot be read.
    """
    try:
        frame: pd.DataFrame = pq.read_table(path).to_pandas()
    except (OSError, pa.ArrowException):
        return None
    return frame


def save_utterances(path: Path, rows: Sequence[Mapping[str, Any]], normaliser: str) -> None:
    """Write one row for each training of a system and each utterance, atomically.

    Args:
        path: A Parquet file.
        rows: `system` is its name or its trial's id, `seed` what it was trained with; the utterance's
            `id`, normalised `reference` and `hypothesis`, the counts of errors, its `speaker` if known, and
            `kind`, the kind of error that the production system makes on it.
        normaliser: What both were normalised by, with its version; kept in the file's metadata.
    """
    table = pa.Table.from_pylist(list(rows), _SCHEMA.with_metadata({"normaliser": normaliser}))
    write_atomically(path, lambda file: pq.write_table(table, file))
