"""The run folder: where everything of one sweep lies, so that it explains and continues itself."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stt_tune.errors import SettingsError, SttTuneError, SweepHaltedError
from stt_tune.files import is_folder, look, write_json, write_text
from stt_tune.results.optimal_config import read_optimal_config
from stt_tune.results.trials import TrialTable
from stt_tune.run.commands import command
from stt_tune.run.locks import is_locked, locking
from stt_tune.run.places import RunPlaces
from stt_tune.run.versions import find_versions
from stt_tune.sweep.config import SweepConfig

SETTINGS = "settings"  # in run.json: the run is one of `stt-tune tune`
SCHEDULER = "scheduler"  # in run.json of one's own training, and in the settings of the others
HAS_SEARCHED = "has_searched"  # in run.json: no trial runs any more, whatever has ended the sweep
HAS_CONCLUDED = "has_concluded"  # in run.json of a re-tune: the shared file was replaced, or left as it was


@dataclass(frozen=True)
class RunFolder(RunPlaces):
    """A run's folder, as it is begun, written and read."""

    def check_new(self) -> None:
        """Make sure that a new run can begin here.

        Raises:
            SettingsError: The folder already holds a run, or what a run would take for its own; or it is a file.
            StorageError: The URL cannot be read.
        """
        if look(self.run):
            raise SettingsError(
                f"{self.location}: must not hold a run yet, and does. Name another folder.\n{self.how_to_go_on()}"
            )
        if look(self.path) and not is_folder(self.path):
            raise SettingsError(f"{self.path}: must be a folder, found a file. Name another.")
        if foreign := self.find_results():
            raise SettingsError(
                f"{self.location}: must not hold anything that a run replaces or deletes as its own, and holds "
                f"{', '.join(foreign)}. Name another folder, such as one in it."
            )

    @contextlib.contextmanager
    def searching(self) -> Iterator[None]:
        """Write down that trials run inside the block, and that they have ended where it ends by itself."""
        self.note(**{HAS_SEARCHED: False})
        yield
        self.note(**{HAS_SEARCHED: True})

    def read_config(self) -> dict[str, Any] | None:
        """What `optimal_config.json` holds; None while there is none.

        Raises:
            SettingsError: It is damaged.
        """
        return read_optimal_config(self.optimal_config) if self.optimal_config.exists() else None

    def how_to_go_on(self) -> str:
        """Say what continues the run that the folder holds."""
        if self.is_unconcluded:
            return f"Its last step is missing, which is that of the shared file: {command('resume', self.location)}"
        if self.optimal_config.exists():
            return f"It is finished: see {self.share(self.optimal_config)}"
        if SETTINGS in self.read_run():
            return f"Continue with: {command('resume', self.location)}"
        if self._has_all_trials:
            return f"It is finished: load_trials({self.location!r}) gives its trials."
        return "Continue with: run_sweep(..., resume=True), or run_sweep_agent(...) again"

    @property
    def is_unconcluded(self) -> bool:
        """Whether it is a re-tune that has its result, and has not yet come to the shared file."""
        return self.optimal_config.exists() and not self.read_run().get(HAS_CONCLUDED, True)

    @property
    def _has_all_trials(self) -> bool:
        """Whether all trials have ended, with which a sweep of one's own training is finished."""
        sweep = self.read_sweep()
        return len(self.read_table((sweep.metric.name,)).ended()) >= sweep.count_trials()

    def halted_by(self, error: OSError) -> SweepHaltedError:
        """Make the error of a run whose files cannot be written any more."""
        return SweepHaltedError(
            f"{error.filename or self.path}: cannot be written ({error.strerror}). What was finished is kept.\n"
            f"{self.how_to_go_on()}"
        )

    @contextlib.contextmanager
    def written(self) -> Iterator[None]:
        """Say of whatever of the folder cannot be written inside the block.

        Raises:
            SweepHaltedError: Something could not.
        """
        try:
            yield
        except SttTuneError:
            raise  # some of them are errors of the system, too
        except (TimeoutError, ConnectionError):
            raise  # these are Ray's, and no matter of files
        except OSError as error:
            raise self.halted_by(error) from error

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from running the same sweep inside the block; may be nested.

        Raises:
            SettingsError: Another process runs it, or the folder cannot be written.
        """
        with contextlib.ExitStack() as held:
            with self._made():
                is_ours = held.enter_context(locking(self.lock))
            if not is_ours:
                raise SettingsError(
                    f"{self.path}: must be run by one process at a time, and another one runs it. Wait for it, or give "
                    "it more trials at a time."
                )
            yield

    @contextlib.contextmanager
    def locked_to_upload(self) -> Iterator[None]:
        """Do so for a process that runs nothing, and is not to be taken for one that does.

        Raises:
            SettingsError: As `locked`.
        """
        with self.locked(), locking(self.uploading):
            yield

    @property
    def is_locked(self) -> bool:
        """Whether another process runs what the folder holds; looking changes nothing there.

        Raises:
            SettingsError: The lock cannot be read.
        """
        return is_locked(self.lock) and not is_locked(self.uploading)

    @classmethod
    def existing(cls, path: Path) -> RunFolder:
        """Open the folder of a run.

        Raises:
            SettingsError: It holds none.
        """
        folder = cls(path.absolute())
        folder.check_existing()
        return folder

    def check_existing(self) -> None:
        """Make sure that the folder is that of a run.

        Raises:
            SettingsError: It is none, or may not be read.
        """
        if not look(self.run) or not look(self.sweep):
            raise SettingsError(
                f"{self.location}: must be the folder of a run, with run.json and sweep.yaml, and is none."
            )

    def start(
        self,
        sweep: SweepConfig,
        seed: int,
        default: Mapping[str, Any] | None,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        """Make the folder and write down what is about to run.

        Args:
            sweep: What is searched.
            seed: Of the configurations.
            default: The configuration of the first trial, if there is one.
            facts: What else is to be recorded.

        Raises:
            SettingsError: The folder cannot be written.
        """
        document = {
            "sweep": sweep.name,
            "num_trials": sweep.num_trials,
            "seed": seed,
            "default": dict(default) if default else None,
            "sweep_hash": hashlib.sha256(sweep.text.encode()).hexdigest(),
            "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": find_versions(),
            **(facts or {}),
        }
        with self._made():
            write_text(self.sweep, sweep.text)
            if sweep.frame is not None:
                write_text(self.frame, sweep.frame.text)
            write_json(self.run, document)

    def take_over(self, earlier: RunFolder, metrics: Sequence[str]) -> None:
        """Begin with the trials of another run that ended, and with what it has confirmed.

        Args:
            earlier: The other run.
            metrics: What its table holds at least.

        Raises:
            SettingsError: The folder cannot be written, or the other one cannot be read.
        """
        table = earlier.read_table(metrics)
        with self._made():
            for name in (self.utterances.name, self.confirm.name):
                if (earlier.path / name).is_dir():
                    shutil.copytree(earlier.path / name, self.path / name, dirs_exist_ok=True)
            TrialTable(table.metrics, table.ended()).save(self.trials)

    def reopen(self, settings: Mapping[str, Any]) -> None:
        """Go on with other settings; what the run has found until now is kept as `optimal_config.before.json`.

        Raises:
            SettingsError: The folder cannot be written.
        """
        with self._made():
            write_json(self.run, {**self.read_run(), SETTINGS: dict(settings)})
            if self.optimal_config.exists():
                self.optimal_config.replace(self.optimal_config.with_suffix(".before.json"))

    def note(self, **facts: Any) -> None:
        """Write down more of what runs, in `run.json`.

        Raises:
            SettingsError: The folder cannot be written.
        """
        with self._made():
            write_json(self.run, {**self.read_run(), **facts})

    @contextlib.contextmanager
    def _made(self) -> Iterator[None]:
        """Make the folder, and say so if it cannot be written inside the block."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            yield
        except OSError as error:
            raise SettingsError(f"{self.path}: must be a folder that can be written ({error.strerror}).") from error

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

    def data_name(self, beside_hash: str) -> str:
        """Stands for all that the run's trainings learn from and are measured on.

        Args:
            beside_hash: Of what is replayed and of the guard.
        """
        run = self.read_run()
        kind = run.get(SETTINGS, {}).get("only_error_type")
        return " ".join(str(each) for each in (run["data_hash"], beside_hash, run["normaliser"], kind))

    def read_sweep(self) -> SweepConfig:
        """Read the sweep, with the name and the default that it began with, and its plan.

        Raises:
            SweepConfigError: `sweep.yaml` is damaged.
            SettingsError: `run.json` is damaged.
        """
        run = self.read_run()
        sweep = SweepConfig.from_yaml(self.sweep)
        frame = SweepConfig.from_yaml(self.frame) if self.frame.exists() else None
        return replace(
            sweep, name=run["sweep"], default=run.get("default"), num_trials=run.get("num_trials"), frame=frame
        )

    def read_table(self, metrics: Sequence[str]) -> TrialTable:
        """Read the trial table; one with `metrics` and no trials where there is none yet.

        Raises:
            SettingsError: The table is damaged.
        """
        return TrialTable.load(self.trials) if self.trials.exists() else TrialTable(metrics)
