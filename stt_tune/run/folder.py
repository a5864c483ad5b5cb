"""The run folder: where everything of one sweep lies, so that it explains and continues itself."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stt_tune.errors import SettingsError
from stt_tune.files import write_json, write_text
from stt_tune.results.trials import TrialTable
from stt_tune.sweep.config import SweepConfig

_VERSIONED = ("stt-tune", "ray", "torch", "transformers", "wandb", "jiwer", "datasets", "pyarrow", "numpy", "scipy")


@dataclass(frozen=True)
class RunFolder:
    """Names the files of a run.

    Attributes:
        path: The folder, absolute.
    """

    path: Path

    @property
    def sweep(self) -> Path:
        """The sweep file, as the user gave it."""
        return self.path / "sweep.yaml"

    @property
    def run(self) -> Path:
        """Settings, versions, hashes."""
        return self.path / "run.json"

    @property
    def trials(self) -> Path:
        """The trial table."""
        return self.path / "trials.parquet"

    @property
    def held_out(self) -> Path:
        """Every test utterance as the default and the winner heard it."""
        return self.path / "held_out.parquet"

    @property
    def optimal_config(self) -> Path:
        """The result."""
        return self.path / "optimal_config.json"

    @property
    def rejected(self) -> Path:
        """Rows of the manifest that were set aside."""
        return self.path / "rejected.jsonl"

    @property
    def ray(self) -> Path:
        """Ray's own working files."""
        return self.path / "ray"

    @classmethod
    def new(cls, path: Path) -> RunFolder:
        """Name a folder for a new run; nothing is made yet.

        Raises:
            SettingsError: It already holds a run, or is a file.
        """
        folder = cls(path.absolute())
        if folder.run.exists():
            raise SettingsError(
                f"--out {path}: must not hold a run yet, and does. Name another folder, or continue it: "
                f"stt-tune resume {path}"
            )
        if path.exists() and not path.is_dir():
            raise SettingsError(f"--out {path}: must be a folder, found a file. Name another.")
        return folder

    @classmethod
    def existing(cls, path: Path) -> RunFolder:
        """Open the folder of a run.

        Raises:
            SettingsError: It holds none.
        """
        folder = cls(path.absolute())
        if not folder.run.is_file() or not folder.sweep.is_file():
            raise SettingsError(f"{path}: must be a run folder with run.json and sweep.yaml, and is none.")
        return folder

    def start(self, sweep: SweepConfig, facts: Mapping[str, Any]) -> None:
        """Make the folder and write down what is about to run.

        Raises:
            SettingsError: The folder cannot be written.
        """
        document = {
            "sweep": sweep.name,
            "num_trials": sweep.num_trials,
            "sweep_hash": hash_sweep(sweep),
            "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": find_versions(),
            **facts,
        }
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            write_text(self.sweep, sweep.text)
            write_json(self.run, document)
        except OSError as error:
            raise SettingsError(
                f"--out {self.path}: must be a folder that can be written ({error.strerror})."
            ) from error

    def read_run(self) -> dict[str, Any]:
        """Read `run.json`.

        Raises:
            SettingsError: It is damaged.
        """
        try:
            document = json.loads(self.run.read_text(encoding="utf-8"))
            return {**document, "sweep": str(document["sweep"]), "seed": int(document["seed"])}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SettingsError(f"{self.run}: must be the run.json of a run, and cannot be read ({error}).") from error

    def read_sweep(self) -> SweepConfig:
        """Read the sweep, with the name and the plan that it began with.

        Raises:
            SweepConfigError: `sweep.yaml` is damaged.
            SettingsError: `run.json` is damaged.
        """
        run = self.read_run()
        sweep = SweepConfig.from_yaml(self.sweep)
        return replace(sweep, name=run["sweep"], default=run.get("default"), num_trials=run.get("num_trials"))

    def read_table(self, metrics: Sequence[str]) -> TrialTable:
        """Read the trial table; one with `metrics` and no trials where there is none yet.

        Raises:
            SettingsError: The table is damaged.
        """
        return TrialTable.load(self.trials) if self.trials.exists() else TrialTable(metrics)


def hash_sweep(sweep: SweepConfig) -> str:
    """The hash by which a sweep is known again."""
    return hashlib.sha256(sweep.text.encode()).hexdigest()


def find_versions() -> dict[str, str]:
    """Versions of Python and of the libraries that decide what a run gives."""
    found = {"python": platform.python_version()}
    for name in _VERSIONED:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found
