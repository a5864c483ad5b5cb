"""Where everything of a run lies: the names of its files, here and behind its URL."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from stt_tune.files import look
from stt_tune.storage import open_storage, telling

MIRRORED = ".mirrored.json"  # where the folder is a copy: of what
TRIALS = "trials.parquet"


@dataclass(frozen=True)
class RunPlaces:
    """Names the files of a run.

    Attributes:
        path: The folder, absolute.
    """

    path: Path

    @property
    def url(self) -> str | None:
        """Where the run lies, if the folder is this machine's copy of it."""
        try:
            return str(json.loads((self.path / MIRRORED).read_text(encoding="utf-8"))["url"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    @property
    def location(self) -> str:
        """The path or URL by which others find the run."""
        return self.url or str(self.path)

    def share(self, path: Path) -> str:
        """The path or URL by which others find something in the folder, such as workers that write there."""
        return f"{self.location}/{path.relative_to(self.path).as_posix()}"

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
        return self.path / TRIALS

    @property
    def spent(self) -> Path:
        """What the sweep has cost so far, where it has a budget."""
        return self.path / "spent.json"

    @property
    def frame(self) -> Path:
        """The wider sweep that was refined, if one was."""
        return self.path / "frame.yaml"

    @property
    def held_out(self) -> Path:
        """Every test utterance as each system heard it that was confirmed."""
        return self.path / "held_out.parquet"

    @property
    def confirm(self) -> Path:
        """What trainings anew gave, so that none is done twice."""
        return self.path / "confirm"

    @property
    def utterances(self) -> Path:
        """For each trial, every dev utterance as it heard it after its last epoch."""
        return self.path / "utterances"

    @property
    def optimal_config(self) -> Path:
        """The result."""
        return self.path / "optimal_config.json"

    @property
    def report(self) -> Path:
        """The page on what it found."""
        return self.path / "report.html"

    @property
    def rejected(self) -> Path:
        """Rows of the manifest that were set aside."""
        return self.path / "rejected.jsonl"

    @property
    def checkpoints(self) -> Path:
        """What trials need to go on after a fault, while they run."""
        return self.path / "checkpoints"

    @property
    def faults(self) -> Path:
        """What went wrong while the sweep ran, and what was done about it."""
        return self.path / "faults.jsonl"

    @property
    def models(self) -> Path:
        """Weights of trials, while the sweep runs."""
        return self.path / "models"

    @property
    def best_model(self) -> Path:
        """The best trial's weights, in transformers' format."""
        return self.path / "best_model"

    @property
    def best_model_ctranslate2(self) -> Path:
        """The same in CTranslate2's."""
        return self.path / "best_model_ctranslate2"

    @property
    def lock(self) -> Path:
        """What a process that works in the folder keeps locked."""
        return self.path / ".lock"

    @property
    def uploading(self) -> Path:
        """What a process that only uploads keeps locked, too."""
        return self.path / ".uploading.lock"

    @property
    def errors(self) -> Path:
        """For each trial that failed, what its worker said."""
        return self.path / "errors"

    def find_results(self) -> list[str]:
        """Names of what lies there, here or at the URL, that a run reads, replaces or deletes as its own.

        Raises:
            SettingsError: The folder cannot be read.
            StorageError: The URL cannot be read.
        """
        own = (
            self.models,
            self.best_model,
            self.best_model_ctranslate2,
            self.checkpoints,
            self.utterances,
            self.confirm,
            self.trials,
            self.held_out,
            self.spent,
            self.optimal_config,
        )
        found = [path.name for path in own if look(path)]
        if found or not self.url:
            return found
        system, root = open_storage(self.url)  # models are not fetched from there
        with telling(self.url):
            system.invalidate_cache()
            return [path.name for path in own if system.exists(f"{root}/{path.name}")]
