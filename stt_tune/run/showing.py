"""Show a result wherever people look for it."""

from __future__ import annotations

from stt_tune.run.folder import RunFolder
from stt_tune.run.report import refresh_report


def show_result(folder: RunFolder) -> None:
    """Bring the report and W&B up to date with `optimal_config.json`; that one of them fails costs a line."""
    from stt_tune.run.wandb_result import publish_at_end

    refresh_report(folder)
    publish_at_end(folder)
