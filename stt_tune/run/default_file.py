"""Read the file of `--default`: the untuned configuration that everything is compared with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from stt_tune.errors import SettingsError
from stt_tune.run.settings import check_trainable
from stt_tune.sweep.numerals import read_numerals


def read_default(path: Path) -> dict[str, Any]:
    """Read the file of `--default`: hyperparameters as YAML or JSON, or an `optimal_config.json`.

    Raises:
        SettingsError: The file cannot be read, or holds what cannot be trained.
    """
    try:
        document = read_numerals(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"--default {path}: must be a readable YAML or JSON file ({error}).") from error
    if isinstance(document, Mapping) and isinstance(document.get("hyperparameters"), Mapping):
        document = document["hyperparameters"]
    if not isinstance(document, Mapping):
        raise SettingsError(f"--default {path}: must map hyperparameters to values, found {document!r}.")
    return check_trainable(document, f"--default {path}")
