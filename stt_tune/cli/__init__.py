"""The command line: one thin command a verb."""

from stt_tune.cli.app import app, main

from stt_tune.cli.sweeps import demo, refine, resume, tune  # isort: skip (the order of the verbs in the help)
from stt_tune.cli.following import status  # isort: skip
from stt_tune.cli.data import prepare, validate  # isort: skip
from stt_tune.cli.configs import confirm, drift, export, retune  # isort: skip
from stt_tune.cli.reports import report  # isort: skip
from stt_tune.cli.training import train  # isort: skip
from stt_tune.cli.tracking import wandb_sync, wandb_workspace  # isort: skip
from stt_tune.cli.bench import overhead, search, sweep, throughput  # isort: skip

__all__ = [
    "app",
    "confirm",
    "demo",
    "drift",
    "export",
    "main",
    "overhead",
    "prepare",
    "refine",
    "report",
    "resume",
    "retune",
    "search",
    "status",
    "sweep",
    "throughput",
    "train",
    "tune",
    "validate",
    "wandb_sync",
    "wandb_workspace",
]
