"""Read the file of `--default`: the untuned configuration that everything is compared with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stt_tune.errors import SettingsError, SweepConfigError
from stt_tune.run.settings import check_trainable
from stt_tune.sweep.numerals import read_numerals
from stt_tune.sweep.yaml_file import read_yaml


def read_default(path: Path) -> dict[str, Any]:
    """Read the file of `--default`: hyperparameters as YAML or JSON, or an `optimal_config.json`.

    Raises:
        SettingsError: The file cannot be read, or holds what cannot be trained.
    """
    try:
        document = read_numerals(read_yaml(path, f"--default {path}", "YAML or JSON file")[1])
    except SweepConfigError as error:
        raise SettingsError(str(error)) from error
    if isinstance(document, Mapping) and isinstance(document.get("hyperparameters"), Mapping):
        document = document["hyperparameters"]
    if not isinstance(document, Mapping):
        raise SettingsError(f"--default {path}: must map hyperparameters to values, found {document!r}.")
    return check_trainable(document, f"--default {path}")
