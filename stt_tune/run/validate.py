"""Check sweep files before anything is paid for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from stt_tune.errors import SweepConfigError
from stt_tune.run.tune import find_speech_problems
from stt_tune.sweep.config import SweepConfig
from stt_tune.sweep.space_table import describe, render_space


@dataclass(frozen=True)
class SweepCheck:
    """What was found of one file.

    Attributes:
        path: The file.
        sweep: The sweep; None where it cannot be run.
        problems: What has to be mended.
    """

    path: Path
    sweep: SweepConfig | None
    problems: tuple[str, ...] = ()

    @property
    def is_valid(self) -> bool:
        """Whether the sweep can be run."""
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """As `--json` prints it."""
        sweep = self.sweep
        parameters = {name: describe(each) for name, each in sweep.parameters.items()} if sweep else {}
        return {
            "file": str(self.path),
            "valid": self.is_valid,
            "problems": list(self.problems),
            "parameters": parameters,
            "trials": sweep.count_trials() if sweep else None,
        }


def check_sweeps(paths: Iterable[Path], *, own_training: bool) -> list[SweepCheck]:
    """Check each file.

    Args:
        paths: Sweep files.
        own_training: Whether they are for a training function of the user's own, which may have any
            parameters and report any metric.
    """
    return [_check(path, own_training) for path in paths]


def _check(path: Path, own_training: bool) -> SweepCheck:
    try:
        if own_training:
            return SweepCheck(path, SweepConfig.from_yaml(path))
        return SweepCheck(path, SweepConfig.from_yaml(path, also=find_speech_problems))
    except SweepConfigError as error:
        return SweepCheck(path, None, error.problems)


def show_checks(checks: Iterable[SweepCheck]) -> None:
    """Print spaces on stdout and problems on stderr."""
    out, err = (Console(highlight=False, soft_wrap=True, markup=False, stderr=stderr) for stderr in (False, True))
    for check in checks:
        if check.sweep is None:
            out.print(f"{check.path}: cannot be run")
        else:
            out.print(f"{check.path}: {_summarise(check.sweep)}")
            out.print(render_space(check.sweep))
        for line in (*check.problems, *(check.sweep.hints if check.sweep else ())):
            err.print(line)
        out.print()


def _summarise(sweep: SweepConfig) -> str:
    """The sweep in one line."""
    metric, early = sweep.metric, sweep.early_terminate
    target = "" if metric.target is None else f" until one reaches {metric.target:g}"
    bands = f", weak trials stopped from epoch {early.bands[0]} on" if early else ""
    unused = f"; without effect here: {', '.join(sweep.unused)}" if sweep.unused else ""
    return f"{sweep.method}, {sweep.count_trials()} trials, {metric.goal} {metric.name}{target}{bands}{unused}"
