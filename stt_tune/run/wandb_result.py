"""What a sweep has found, in W&B: its best run is tagged, its optimal config is an artifact."""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import wandb

from stt_tune.errors import first_line
from stt_tune.files import write_json
from stt_tune.progress import say
from stt_tune.results.optimal_config import read_optimal_config
from stt_tune.run.commands import command
from stt_tune.run.folder import RunFolder
from stt_tune.run.wandb_link import FINISH_TIMEOUT_S, INIT_TIMEOUT_S, find_obstacle, ignoring_mode, mark_uploaded
from stt_tune.run.wandb_place import WandbPlace, find_entity, find_place
from stt_tune.run.wandb_runs import find_runs

BEST = "best"
JOB_TYPE = "optimal-config"
_NAME_LENGTH = 128  # of an artifact, in W&B
_PATIENCE_S = 30.0  # for all of it, at the end of a sweep


@dataclass(frozen=True)
class SweepOutcome:
    """What of a sweep W&B is to show.

    Attributes:
        best: Id of the run that carries the tag; None where no trial was completed.
        config: Hash of `optimal_config.json`; None where there is none, as with training code of one's own.
    """

    best: str | None
    config: str | None


def find_due(folder: RunFolder) -> SweepOutcome | None:
    """What W&B lacks of the sweep's result; None where it has all, or where nothing is known yet.

    Raises:
        SttTuneError: The folder is damaged.
    """
    if find_place(folder) is None:
        return None
    outcome, published = _find_outcome(folder), _read_published(folder)
    is_due = (outcome.best and outcome.best != published.best) or (
        outcome.config and outcome.config != published.config
    )
    return outcome if is_due else None


def publish(folder: RunFolder, outcome: SweepOutcome) -> SweepOutcome:
    """Tag the best run, and log the optimal config in a small run of its own; W&B must let us log in.

    That run is not in the sweep's group, whose runs are its trials, and is another one each time: the artifact
    gets a version more where the config has changed. The trials' own files are left as they are.

    Args:
        folder: Of a sweep whose runs are in W&B.
        outcome: As `find_due` gives it.

    Returns:
        What of it was done now. What was done before is not done again; the tag is left for later where W&B does
        not have that run.

    Raises:
        Exception: Whatever W&B raises.
    """
    place, before = find_place(folder), _read_published(folder)
    if place is None:
        return SweepOutcome(None, None)
    tagged = attached = None
    with ignoring_mode():
        api = wandb.Api(timeout=INIT_TIMEOUT_S)
        entity = find_entity(place, api)
        project = f"{entity}/{place.project}"
        if outcome.best and outcome.best != before.best:
            if before.best:
                _tag(api, f"{project}/{before.best}", is_best=False)
            if _tag(api, f"{project}/{outcome.best}", is_best=True):
                tagged = outcome.best
                _write_published(folder, SweepOutcome(tagged, before.config))
            else:
                say(f"W&B: the best trial's run {outcome.best} is not in {project}, so it is not tagged")
        if outcome.config and outcome.config != before.config:
            _log_config(folder, place, entity)
            attached = outcome.config
            _write_published(folder, SweepOutcome(tagged or before.best, attached))
    return SweepOutcome(tagged, attached)


def publish_at_end(folder: RunFolder) -> None:
    """Do so at the end of a sweep that logs online; where W&B cannot be reached, say so, and how it gets it later.

    That takes half a minute at most. Where W&B lacks some of the runs, their user has been told what uploads them,
    and the result goes with them.
    """
    obstacles: list[str] = []

    def try_to() -> None:
        try:
            obstacles.append(_publish_if_ready(folder))
        except Exception as error:  # noqa: BLE001 - whatever ails W&B must not cost the sweep its result
            obstacles.append(first_line(error).rstrip("."))

    # W&B may try for longer than anybody wants to wait
    thread = threading.Thread(target=try_to, name="wandb-result", daemon=True)
    thread.start()
    thread.join(_PATIENCE_S)
    if obstacle := obstacles[0] if obstacles else "it does not answer":
        say(f"W&B: the sweep's result is not there yet ({obstacle}); later: {command('wandb-sync', folder.path)}")


def _publish_if_ready(folder: RunFolder) -> str:
    """Publish what is due of a sweep that logs online, if all of its runs are there; say what is in the way."""
    place = find_place(folder)
    if place is None or place.mode != "online":
        return ""
    if any(not file.is_uploaded for run in find_runs(folder.path / "wandb") for file in run):
        return ""
    outcome = find_due(folder)
    if outcome is None:
        return ""
    if obstacle := find_obstacle():
        return obstacle
    publish(folder, outcome)
    return ""


def _find_outcome(folder: RunFolder) -> SweepOutcome:
    if folder.optimal_config.exists():
        # a winner may have been chosen on held-out speech, which the trial table does not know
        winner = read_optimal_config(folder.optimal_config).get("winner") or {}
        return SweepOutcome(winner.get("trial_id"), hashlib.sha256(folder.optimal_config.read_bytes()).hexdigest())
    metric = folder.read_sweep().metric
    best = folder.read_table((metric.name,)).best(metric.name, metric.mode)
    return SweepOutcome(best.trial_id if best else None, None)


def _tag(api: Any, path: str, *, is_best: bool) -> bool:
    """Give a run the tag, or take it away; False where there is no such run."""
    try:
        run = api.run(path)
    except wandb.errors.CommError as error:
        if isinstance(error.exc, ValueError):  # it answers, and has none: a trial that was taken over may be elsewhere
            return False
        raise
    others = [tag for tag in run.tags if tag != BEST]
    wanted = [*others, BEST] if is_best else others
    if list(run.tags) != wanted:
        run.tags = wanted
        run.update()
    return True


def _log_config(folder: RunFolder, place: WandbPlace, entity: str) -> None:
    document = read_optimal_config(folder.optimal_config)
    name = f"{re.sub(r'[^A-Za-z0-9_.-]+', '-', place.group)}-optimal-config"[-_NAME_LENGTH:]
    # in a folder of its own: what lies in wandb/ is for `wandb sync`
    with tempfile.TemporaryDirectory(prefix="stt_tune-", ignore_cleanup_errors=True) as scratch:
        run = wandb.init(
            project=place.project,
            entity=entity,
            name=name,
            job_type=JOB_TYPE,
            tags=["stt-tune", JOB_TYPE],
            config={"sweep": place.group, **document["hyperparameters"]},
            mode="online",
            dir=scratch,
            reinit="create_new",
            settings=wandb.Settings(
                silent=True,
                console="off",
                x_disable_stats=True,
                init_timeout=INIT_TIMEOUT_S,
                finish_timeout=FINISH_TIMEOUT_S,
            ),
        )
        try:
            run.summary.update(_summarise(document))
            artifact = wandb.Artifact(name, type=JOB_TYPE)
            # as it lies there: W&B would keep a copy in the user's cache else
            artifact.add_file(
                str(folder.optimal_config), name=folder.optimal_config.name, policy="immutable", skip_cache=True
            )
            run.log_artifact(artifact).wait(timeout=FINISH_TIMEOUT_S)
        except BaseException:
            run.finish(exit_code=1)
            raise
        run.finish()
        if not mark_uploaded(Path(run.dir).parent):
            raise ConnectionError("not all of the optimal config's run was taken")


def _summarise(document: Mapping[str, Any]) -> dict[str, Any]:
    """What the run of the optimal config shows: the verdict, and the figures on held-out speech."""
    told = {name: document.get(name) for name in ("decision", "metric", "metric_value", "default_metric_value")}
    held_out = document.get("held_out") or {}
    figures = {f"held_out/{name}": value for name, value in held_out.items() if isinstance(value, int | float)}
    return {name: value for name, value in {**told, **figures}.items() if value is not None}


def _mark(folder: RunFolder) -> Path:
    return folder.path / "wandb" / "published.json"


def _read_published(folder: RunFolder) -> SweepOutcome:
    try:
        return SweepOutcome(**json.loads(_mark(folder).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):  # not there yet; or damaged, and publishing again does no harm
        return SweepOutcome(None, None)


def _write_published(folder: RunFolder, outcome: SweepOutcome) -> None:
    write_json(_mark(folder), asdict(outcome))
