"""Read rows from what is more than a file: audiofolders, and data sets of `datasets`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from stt_tune.errors import ManifestError, first_line
from stt_tune.speech.columns import SPLIT_NAMES
from stt_tune.speech.row import Row
from stt_tune.speech.tables import list_dataset, read_file

_MANY = "Config name is missing"  # how datasets begins to say that there are several
SAVED = ("dataset_info.json", "dataset_dict.json")  # a data set's own folder has one of them


def read_folder(source: str, folder: Path, split: str | None) -> Iterator[Row]:
    """Read an audiofolder: metadata files, each naming files beside it; folders are called as splits."""
    found = sorted(_find_metadata(folder))
    if not found and any(folder.glob("**/*.parquet")):  # a data set as the hub keeps it
        yield from read_dataset(source, folder, split)
        return
    if not found:
        raise ManifestError(
            f"{source}: must hold a metadata.csv or metadata.jsonl, or Parquet of a data set, and does not. "
            "Check --data."
        )
    parts = {path: _find_part(path.parent.relative_to(folder)) for path in found}
    names = dict.fromkeys(part for part in parts.values() if part is not None)
    if split is not None and split not in names:
        raise ManifestError(f"--split {split}: must be one of {', '.join(names) or 'none'}.")
    number = 0
    for path, part in parts.items():
        if split is not None and part != split:
            continue
        own = {"split": part} if part is not None and split is None and len(names) > 1 else {}
        beside = str(path.parent.relative_to(folder))
        for row in read_file(f"{source}/{path.relative_to(folder)}", path):
            number += 1
            fields = {**own, **row.fields} if row.fields else {}
            yield Row(number, fields, problem=row.problem, folder=beside)


def _find_metadata(folder: Path, above: frozenset[str] = frozenset()) -> Iterator[Path]:
    """Find metadata files wherever they lie, also behind links; those that lead back are not followed."""
    real = os.path.realpath(folder)
    if real in above:
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            path = Path(entry.path)
            if entry.is_dir():
                yield from _find_metadata(path, above | {real})
            elif path.stem == "metadata" and path.suffix in (".csv", ".jsonl", ".parquet"):
                yield path


def _find_part(folder: Path) -> str | None:
    """The split that a folder in an audiofolder is called as: the last that is called so, or the first of all."""
    called = [name for name in folder.parts if name.lower() in SPLIT_NAMES] or folder.parts[:1]
    return called[-1] if called else None


def read_dataset(source: str, path: Path, split: str | None) -> Iterator[Row]:
    """Read a data set that `datasets` has saved, or finds on the hub."""
    import datasets

    try:
        is_saved = any((path / file).exists() for file in SAVED)
        loaded = datasets.load_from_disk(str(path)) if is_saved else datasets.load_dataset(str(path))
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        if _MANY in str(error):
            names = datasets.get_dataset_config_names(str(path))
            raise ManifestError(
                f"{source}: must be one data set, found several ({', '.join(names)}). Save one of them, and name its "
                f"folder: datasets.load_dataset({str(path)!r}, {names[0]!r}).save_to_disk(FOLDER)"
            ) from error
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
            yield from list_dataset(dataset, own, number)
            number += len(dataset)
