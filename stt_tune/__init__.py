"""Hyperparameter tuning for speech-to-text: W&B sweeps on Ray Tune, confirmed on held-out speech."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stt_tune.results.merging import merge_config
    from stt_tune.results.optimal_config import (
        load_config,
        read_optimal_config,
        save_config,
        update_config,
        update_optimal_config,
    )
    from stt_tune.results.production import training_callback
    from stt_tune.results.trials import TrialTable
    from stt_tune.run.budget import Budget
    from stt_tune.run.confirm import confirm
    from stt_tune.run.drift import find_drift
    from stt_tune.run.export import export
    from stt_tune.run.loading import load_reports, load_trials
    from stt_tune.run.orchestrator import WandbSweepOrchestrator
    from stt_tune.run.prepare import prepare_data
    from stt_tune.run.report import write_report
    from stt_tune.run.reporting import report
    from stt_tune.run.resume import resume
    from stt_tune.run.retune import retune
    from stt_tune.run.settings import TuneSettings
    from stt_tune.run.status import RunStatus, read_status
    from stt_tune.run.sweep import SweepResult, run_sweep
    from stt_tune.run.tune import TuneResult, tune
    from stt_tune.run.wandb_sync import sync_wandb
    from stt_tune.run.wandb_workspace import save_workspace
    from stt_tune.speech.finetune import finetune
    from stt_tune.sweep.config import SweepConfig

__all__ = [
    "Budget",
    "RunStatus",
    "SweepConfig",
    "SweepResult",
    "TrialTable",
    "TuneResult",
    "TuneSettings",
    "WandbSweepOrchestrator",
    "confirm",
    "export",
    "find_drift",
    "finetune",
    "load_config",
    "load_reports",
    "load_trials",
    "merge_config",
    "prepare_data",
    "read_optimal_config",
    "read_status",
    "report",
    "resume",
    "retune",
    "run_sweep",
    "save_config",
    "save_workspace",
    "sync_wandb",
    "training_callback",
    "tune",
    "update_config",
    "update_optimal_config",
    "write_report",
]

# Loaded on first use (PEP 562): ray, torch and transformers take seconds to import.
_HOMES = {
    "Budget": "stt_tune.run.budget",
    "RunStatus": "stt_tune.run.status",
    "SweepConfig": "stt_tune.sweep.config",
    "SweepResult": "stt_tune.run.sweep",
    "TrialTable": "stt_tune.results.trials",
    "TuneResult": "stt_tune.run.tune",
    "TuneSettings": "stt_tune.run.settings",
    "WandbSweepOrchestrator": "stt_tune.run.orchestrator",
    "confirm": "stt_tune.run.confirm",
    "export": "stt_tune.run.export",
    "find_drift": "stt_tune.run.drift",
    "finetune": "stt_tune.speech.finetune",
    "load_config": "stt_tune.results.optimal_config",
    "load_reports": "stt_tune.run.loading",
    "load_trials": "stt_tune.run.loading",
    "merge_config": "stt_tune.results.merging",
    "prepare_data": "stt_tune.run.prepare",
    "read_optimal_config": "stt_tune.results.optimal_config",
    "read_status": "stt_tune.run.status",
    "report": "stt_tune.run.reporting",
    "resume": "stt_tune.run.resume",
    "retune": "stt_tune.run.retune",
    "run_sweep": "stt_tune.run.sweep",
    "save_config": "stt_tune.results.optimal_config",
    "save_workspace": "stt_tune.run.wandb_workspace",
    "sync_wandb": "stt_tune.run.wandb_sync",
    "training_callback": "stt_tune.results.production",
    "tune": "stt_tune.run.tune",
    "update_config": "stt_tune.results.optimal_config",
    "update_optimal_config": "stt_tune.results.optimal_config",
    "write_report": "stt_tune.run.report",
}


def __dir__() -> list[str]:
    """List the public names."""
    return [*__all__, *(name for name in globals() if name.startswith("__"))]


def __getattr__(name: str) -> Any:
    """Import a public name from its module."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
