"""W&B's way of writing sweep scripts (create, run an agent, ask for the best run), on Ray."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from stt_tune.errors import SettingsError
from stt_tune.run.folder import RunFolder
from stt_tune.run.project import choose_project
from stt_tune.run.seeds import MOST_SEED, is_seed
from stt_tune.run.sweep import SweepResult, read_sweep, run_sweep
from stt_tune.storage import as_path, is_url
from stt_tune.sweep.config import SweepConfig
from stt_tune.sweep.numerals import as_whole, is_count


class WandbSweepOrchestrator:
    """Keeps the sweeps of a W&B project, each in its own run folder: `STORAGE_PATH/PROJECT/SWEEP_ID`.

    A sweep outlives the process: another one that names the same project and storage goes on with it.
    """

    def __init__(
        self,
        project_name: str,
        *,
        storage_path: str | Path = "runs",
        seed: int = 0,
        wandb_mode: str = "offline",
        scheduler: str = "asha",
        max_concurrent_trials: int | None = None,
        resources_per_trial: Mapping[str, Any] | None = None,
        address: str | None = None,
        insecure_cluster: bool = False,
    ) -> None:
        """Set up.

        Args:
            project_name: The W&B project of all sweeps.
            storage_path: The folder in which projects lie, on a disk.
            seed: Of new sweeps.
            wandb_mode: As `run_sweep` takes it, as are the following.
            scheduler: Early stopping.
            max_concurrent_trials: Trials at a time.
            resources_per_trial: What each trial gets.
            address: A Ray cluster to join.
            insecure_cluster: Whether it may be one that others can reach, and that asks for no token.

        Raises:
            SettingsError: The project's name is no name of a folder, projects are to lie at a URL, or the seed is none.
        """
        if not project_name or Path(project_name).name != project_name:
            raise SettingsError(f"project_name: must be a name without slashes, found {project_name!r}.")
        if is_url(storage_path):
            raise SettingsError(
                f"storage_path: must be a folder on a disk, found {str(storage_path)!r}. At a URL, run_sweep("
                "storage_path=...) keeps a sweep."
            )
        choose_project(wandb_mode, project_name)
        seed = as_whole(seed)
        if not is_seed(seed):
            raise SettingsError(f"seed: must be a whole number from 0 to {MOST_SEED}, found {seed!r}.")
        self.project_name = project_name
        self._storage = Path(as_path(str(storage_path))) / project_name
        self._seed = seed
        self._options: dict[str, Any] = {
            "wandb_mode": wandb_mode,
            "scheduler": scheduler,
            "max_concurrent_trials": max_concurrent_trials,
            "resources_per_trial": resources_per_trial,
            "address": address,
            "insecure_cluster": insecure_cluster,
        }

    def create_sweep(self, config: SweepConfig | Mapping[str, Any] | str | Path) -> str:
        """Begin a sweep; nothing runs yet.

        Returns:
            The sweep's id.

        Raises:
            SweepConfigError: The sweep cannot be run.
            SettingsError: Its folder cannot be written.
        """
        sweep = read_sweep(config)
        sweep_id = secrets.token_hex(4)
        folder = RunFolder((self._storage / sweep_id).absolute())
        # W&B groups runs by sweep; names repeat, ids do not
        folder.start(replace(sweep, name=f"{sweep.name}-{sweep_id}"), self._seed, sweep.default)
        return sweep_id

    def run_sweep_agent(self, train_fn: Callable[..., Any], sweep_id: str, count: int | None = None) -> SweepResult:
        """Run trials of a sweep; each further call goes on with it.

        Args:
            train_fn: Trains one configuration; see `run_sweep`.
            sweep_id: What `create_sweep` gave.
            count: How many more trials; None: as many as the sweep still has. Never more than its
                `run_cap` or its grid has left. Trials that were interrupted are run again first and
                do not count.

        Raises:
            SttTuneError: As `run_sweep`; also if there is no such sweep.
        """
        if not isinstance(sweep_id, str):
            raise SettingsError(
                f"sweep_id: must be the text that create_sweep gave, found {sweep_id!r}. The training function comes "
                "first: run_sweep_agent(train_fn, sweep_id)."
            )
        if count is not None and not is_count(count):
            raise SettingsError(f"count: must be a whole number of at least 1, found {count!r}.")
        so_far = self.get_result(sweep_id)
        return run_sweep(
            so_far.sweep,
            train_fn,
            num_trials=None if count is None else len(so_far.table.trials) + int(count),
            seed=so_far.folder.read_run()["seed"],
            storage_path=so_far.folder.path,
            wandb_project=self.project_name,
            resume=True,
            **self._options,
        )

    def get_best_run(self, sweep_id: str) -> dict[str, Any]:
        """The best completed trial so far, as `SweepResult.best_run` gives it.

        Raises:
            SettingsError: There is no such sweep.
            SweepFailedError: No trial was completed yet.
        """
        return self.get_result(sweep_id).best_run

    def get_result(self, sweep_id: str) -> SweepResult:
        """All trials so far.

        Raises:
            SettingsError: There is no such sweep.
        """
        folder = self._folder(sweep_id)
        sweep = folder.read_sweep()
        return SweepResult(folder, folder.read_table((sweep.metric.name,)), sweep)

    def _folder(self, sweep_id: str) -> RunFolder:
        path = self._storage / sweep_id
        if not sweep_id or not (path / "run.json").is_file():
            there = ", ".join(sorted(each.parent.name for each in self._storage.glob("*/run.json"))) or "none"
            raise SettingsError(f"sweep {sweep_id!r}: must lie in {self._storage}, and does not. There are: {there}.")
        return RunFolder.existing(path)
