"""What a source calls our fields, and what it says in them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from stt_tune.errors import ManifestError
from stt_tune.progress import say
from stt_tune.speech.clip import DatasetClip, FileClip
from stt_tune.speech.row import Row, show
from stt_tune.storage import as_path, is_url, join_url

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
    "offset_s": ("offset_s", "offset", "start", "start_s"),
    "duration_s": ("duration_s", "duration"),
    "end_s": ("end_s", "end", "stop", "stop_s"),
}
FIELDS = tuple(_SYNONYMS)
_HALF = re.compile("[\ud800-\udfff]")  # of a character: JSON can name it alone, and no file can hold it
_NUMBERED = ("id", "speaker", "session")  # by many data sets, where we have names
_PLAIN = ("split", "error_type")  # one of a few words
SPLIT_NAMES = {  # ours, and those of others
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("dev", "development", "validation", "valid", "val", "eval"), "dev"),
    **dict.fromkeys(("test", "testing"), "test"),
}


def gather(rows: Iterable[Row], columns: Mapping[str, str]) -> tuple[list[Row], list[str]]:
    """Find all columns that any row has, and keep of each row what may be a field of ours.

    What else they hold may be large, and is let go as the rows come.

    Args:
        rows: As their source has them.
        columns: As for `map_columns`.

    Returns:
        The rows, and the names of all columns.
    """
    wanted = {name for synonyms in _SYNONYMS.values() for name in synonyms} | set(columns.values())
    there: dict[str, bool] = {}
    kept = []
    for row in rows:
        for name in row.fields:
            if name not in there:
                there[name] = name in wanted or _plain(name) in wanted
        ours = {name: value for name, value in row.fields.items() if there[name]}
        kept.append(row if len(ours) == len(row.fields) else replace(row, fields=ours))
    return kept, list(there)


def _plain(name: str) -> str:
    return name.strip().lower()


def map_columns(source: str, there: Sequence[str], columns: Mapping[str, str]) -> dict[str, str]:
    """Find the source's name of each of our fields, and say where it was guessed.

    Args:
        source: As messages call it.
        there: All its columns.
        columns: Our name to the source's, or to nothing where it has none.

    Raises:
        ManifestError: There is none for audio or text, or `columns` names what is not there.
    """
    unknown = [
        f"{name}={column}" for name, column in columns.items() if name not in FIELDS or (column and column not in there)
    ]
    if unknown:
        raise ManifestError(
            f"--columns {','.join(unknown)}: must be pairs of {', '.join(FIELDS)} and a column; {source} has "
            f"{', '.join(there) or 'none'}."
        )
    names = {name: column for name, column in columns.items() if column}
    there_as = {_plain(name): name for name in reversed(there)} | {name: name for name in there}
    for field, synonyms in _SYNONYMS.items():
        is_wanted = field != "end_s" or "offset_s" in names  # an end alone may be that of anything
        if field not in columns and is_wanted:
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


def rename(row: Row, names: Mapping[str, str], folder: str) -> Row:
    """Give a row's fields our names, and find its audio.

    Args:
        row: As its source has it.
        names: Our names to the source's.
        folder: What paths of audio are relative to, a path or a URL.
    """
    if row.problem:
        return row
    said = {field: row.fields.get(name) for field, name in names.items()}
    # an empty hypothesis says that nothing was heard; another empty field says nothing
    fields = {
        field: _read_value(field, value)
        for field, value in said.items()
        if value is not None and (value != "" or field == "hypothesis")
    }
    halved = next((field for field, value in fields.items() if isinstance(value, str) and _HALF.search(value)), None)
    if halved is not None:
        found = show(fields[halved])
        problem = f"{halved} must hold whole characters, found half of one (an emoji that was cut?) in {found}"
        return Row(row.line, fields, problem=problem)
    audio = fields.pop("audio", None)
    if isinstance(audio, Mapping) and "path" in audio:  # as data sets keep it, where the bytes are in a file
        audio = audio["path"]
    if audio is None or isinstance(audio, DatasetClip):
        return Row(row.line, fields, audio)
    if isinstance(audio, str):
        return Row(row.line, fields, _find_file(audio, row.folder, folder))
    return Row(row.line, fields, problem=f"audio must be a string, found {show(audio)}")


def _read_value(field: str, value: Any) -> Any:
    """A field's value, without what only its writing differs in."""
    if field in _NUMBERED and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if field == "hypothesis" and isinstance(value, str):
        return value.strip()
    if field not in _PLAIN or not isinstance(value, str):
        return value
    return SPLIT_NAMES.get(_plain(value), _plain(value)) if field == "split" else _plain(value)


def _find_file(name: str, within: str, folder: str) -> FileClip:
    """A clip by its path or URL, which may be relative to a folder within the source's."""
    if is_url(name):
        return FileClip(name, Path(name), name)
    local = Path(name).expanduser() if name.startswith("~/") else Path(within, as_path(name))
    name = str(local) if within else name
    if is_url(folder) and not local.is_absolute():
        return FileClip(name, local, join_url(folder, name))
    return FileClip(name, (folder / local).absolute())
