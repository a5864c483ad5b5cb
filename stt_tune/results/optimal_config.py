"""`optimal_config.json`: the one small file that later fine-tuning trusts."""

from __future__ import annotations

import copy
import functools
import getpass
import json
import math
import platform
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

from stt_tune.errors import SettingsError
from stt_tune.results.shared_file import open_shared

SCHEMA_VERSION = 1
_SIGNIFICANT_DIGITS = 6
_PATIENCE_S = 60.0
_COUNTS = ("#/$defs/count", "#/$defs/countOrNone")  # in the schema


def read_optimal_config(path: str | Path) -> dict[str, Any]:
    """Read a whole `optimal_config.json`, checked against its schema; older ones are brought up to date.

    Args:
        path: A path, or a URL such as `s3://bucket/optimal_config.json`.

    Raises:
        SettingsError: There is no such file, or it is not valid; the message names every bad field.
        SharedFileError: It cannot be reached.
    """
    text = open_shared(path).read()
    if text is None:
        raise SettingsError(f"{path}: must be an optimal_config.json, and there is none.")
    return _parse(text, path)


def load_config(path: str | Path, error_type: str | None = None) -> dict[str, Any]:
    """Read the hyperparameters of an `optimal_config.json`, ready for `{**params, **overrides}`.

    Args:
        path: A path or a URL.
        error_type: For cases of this kind: its own, where the file has them, else the general ones.

    Raises:
        SettingsError: There is no such file, it is not valid, or there is no such kind of error.
        SharedFileError: It cannot be reached.
    """
    return select_hyperparameters(read_optimal_config(path), error_type)


def select_hyperparameters(document: Mapping[str, Any], error_type: str | None) -> dict[str, Any]:
    """Take the hyperparameters for a kind of error out of a document; the general ones where it has none.

    Raises:
        SettingsError: There is no such kind of error.
    """
    check_error_type(error_type)
    own = document.get("by_error_type", {}).get(error_type, document)
    return copy.deepcopy(own["hyperparameters"])  # whoever trains may change nested ones


def check_error_type(error_type: str | None) -> None:
    """Refuse a kind of error that there is not.

    Raises:
        SettingsError: It is none of those that the schema names.
    """
    kinds = load_schema()["properties"]["by_error_type"]["propertyNames"]["enum"]
    if error_type is not None and error_type not in kinds:
        raise SettingsError(f"error_type: must be one of {', '.join(kinds)}, found {error_type!r}.")


def save_config(path: str | Path, hyperparameters: Mapping[str, Any]) -> None:
    """Write hyperparameters as a minimal `optimal_config.json`, in the place of whatever was there.

    Raises:
        SettingsError: They are none, out of range, or cannot be written as JSON.
        SharedFileError: The file cannot be written.
    """
    document = {"hyperparameters": dict(hyperparameters), "history": []}

    def replace(before: str | None) -> str:
        try:
            revision = _parse(before, path)["revision"] if before else 0
        except SettingsError:
            revision = 0  # damaged: it is written over
        return _print(document, revision, path)

    open_shared(path).update(replace, _PATIENCE_S)


def update_optimal_config(hyperparameters: Mapping[str, Any], path: str | Path = "optimal_config.json") -> None:
    """Replace the hyperparameters of an `optimal_config.json`, and note it; a missing file is made.

    What else the file said of the old ones goes with them, into its `history`.

    Raises:
        SettingsError: The file is damaged, or the hyperparameters are not valid.
        SharedFileError: The file cannot be written.
    """
    publish({"hyperparameters": dict(hyperparameters)}, path)


def publish(document: Mapping[str, Any], path: str | Path, event: str = "replaced") -> dict[str, Any]:
    """Put a new document in the place of an `optimal_config.json`; a missing file is made.

    What the file said goes into its `history`; fields that this version does not know stay.

    Args:
        document: The new one; its own history is left behind.
        path: A path or a URL.
        event: What the entry in the history says.

    Returns:
        What was written.

    Raises:
        SettingsError: The file is damaged, or the document is not valid.
        SharedFileError: The file cannot be written.
    """
    return update_config(path, lambda before: succeed(before, document, event))


def succeed(before: Mapping[str, Any], document: Mapping[str, Any], event: str) -> dict[str, Any]:
    """Make the document that replaces another: what the latter said goes into the `history`.

    Args:
        before: What the file holds; `{}` if there is none.
        document: The new one; its own history is left behind.
        event: What the entry in the history says.
    """
    known = load_schema()["properties"]
    unknown = {name: value for name, value in before.items() if name not in known}
    history = before.get("history", [])
    if before:
        kept = {name: value for name, value in before.items() if name in known and name != "history"}
        history = [*history, {**note(event), "before": kept}]
    return {**unknown, **document, "history": history}


def update_config(
    path: str | Path, change: Callable[[dict[str, Any]], Mapping[str, Any]], *, timeout_s: float = _PATIENCE_S
) -> dict[str, Any]:
    """Change an `optimal_config.json` so that nothing that others write at the same time is lost.

    Args:
        path: A path or a URL.
        change: From what the file holds, `{}` if there is none, to what it is to hold. Called again
            where another writer was faster, so it must do nothing else. `revision`, `written_at` and
            `written_by` are set for it.
        timeout_s: How long to wait for other writers.

    Returns:
        What was written.

    Raises:
        SettingsError: The file is damaged, or what is to be written is not valid; it is unchanged then.
        SharedFileError: The file cannot be written, or others kept writing it for `timeout_s`.
    """
    written: dict[str, Any] = {}

    def apply(text: str | None) -> str:
        before = {} if text is None else _parse(text, path)
        revision = before.get("revision", 0)  # `change` may change it in place
        printed = _print(change(before), revision, path)
        written.clear()
        written.update(json.loads(printed))
        return printed

    open_shared(path).update(apply, timeout_s)
    return written


def note(event: str) -> dict[str, Any]:
    """An entry for `history`: what has happened, now, by whom."""
    return {"at": _now(), "by": _who(), "event": event}


@functools.cache
def load_schema() -> dict[str, Any]:
    """The JSON Schema of the file, as published with the package."""
    text = resources.files(__package__).joinpath("optimal_config.schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def _parse(text: str, path: str | Path) -> dict[str, Any]:
    try:
        document = json.loads(text, parse_constant=_refuse, parse_float=_read_float)
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{path}: must be an optimal_config.json, and cannot be read ({error}).") from error
    if isinstance(document, dict) and "schema_version" not in document:
        document = {"schema_version": SCHEMA_VERSION, "revision": 1, "history": [], **document}
    _check(document, path)
    for part in (document, document.get("winner") or {}, *document.get("by_error_type", {}).values()):
        if "hyperparameters" in part:
            part["hyperparameters"] = _count_whole(part["hyperparameters"])
    found: dict[str, Any] = document
    return found


def _count_whole(hyperparameters: Mapping[str, Any]) -> dict[str, Any]:
    """Counts as whole numbers, also where another tool has written 5.0: a loop over epochs takes no other."""
    rules = load_schema()["$defs"]["hyperparameters"]["properties"]
    counts = {name for name, rule in rules.items() if rule.get("$ref") in _COUNTS}
    return {name: int(value) if name in counts else value for name, value in hyperparameters.items()}


def _refuse(number: str) -> None:
    raise ValueError(f"numbers must be finite, found {number}")


def _read_float(number: str) -> float:
    if not math.isfinite(float(number)):
        _refuse(number)  # too large for a float
    return float(number)


def _check(document: Any, path: str | Path) -> None:
    from jsonschema import Draft202012Validator

    problems = [
        f"{path}: {'.'.join(map(str, error.absolute_path)) or 'the file'}: {_explain(error)}"
        for error in sorted(Draft202012Validator(load_schema()).iter_errors(document), key=lambda each: each.json_path)
    ]
    if problems:
        raise SettingsError("\n".join(problems))


_RULES: Mapping[str, str] = {
    "type": "must be of type {}",
    "const": "must be {}",
    "enum": "must be one of {}",
    "minimum": "must be at least {}",
    "maximum": "must be at most {}",
    "exclusiveMinimum": "must be above {}",
    "exclusiveMaximum": "must be below {}",
    "minProperties": "must hold at least {}",
}


def _explain(error: Any) -> str:
    if error.validator in _RULES:
        must = error.validator_value
        must = ", ".join(map(str, must)) if isinstance(must, list) else must
        hint = " Upgrade stt_tune." if error.validator == "const" else ""
        return f"{_RULES[error.validator].format(must)}, found {json.dumps(error.instance)[:80]}.{hint}"
    return f"{error.message}."


def _print(content: Any, revision: int, path: str | Path) -> str:
    if not isinstance(content, Mapping):
        raise SettingsError(f"{path}: the new content must be a mapping, found {content!r}. Return it from `change`.")
    known = load_schema()["properties"]
    document = {
        # what this version does not know is not its to shorten
        **{name: _shorten({name: value})[name] if name in known else value for name, value in content.items()},
        "schema_version": SCHEMA_VERSION,
        "revision": revision + 1,
        "written_at": _now(),
        "written_by": _who(),
    }
    try:
        text = json.dumps(document, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise SettingsError(f"{path}: must hold plain, finite values ({error}).") from error
    _check(json.loads(text), path)
    return text + "\n"


def _shorten(value: Any) -> Any:
    """Cut what was measured to six significant digits; hyperparameters stay exactly what was tried."""
    if isinstance(value, float) and math.isfinite(value):
        return float(f"{value:.{_SIGNIFICANT_DIGITS}g}")
    if isinstance(value, Mapping):
        return {key: each if key == "hyperparameters" else _shorten(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_shorten(each) for each in value]
    return value


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _who() -> str:
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # containers run under numbers that have no name
        user = "unknown"
    return f"{user}@{platform.node()}"
