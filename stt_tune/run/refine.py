"""Refine: go on from a finished sweep, in a space narrowed around its best trials."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from stt_tune.errors import SettingsError
from stt_tune.progress import say
from stt_tune.results.trials import Trial, TrialTable
from stt_tune.run.earlier import check_same_data, opened_finished
from stt_tune.run.folder import RunFolder
from stt_tune.run.opening import opened
from stt_tune.run.settings import TuneSettings
from stt_tune.run.tune import TuneResult, check_fits, load_prepared, run_new
from stt_tune.speech.hyperparameters import find_problems
from stt_tune.speech.report import METRICS
from stt_tune.sweep.config import SweepConfig
from stt_tune.sweep.metric import Metric
from stt_tune.sweep.narrow import find_outside, narrow_sweep
from stt_tune.sweep.space_table import describe

_SHARE, _LEAST = 0.25, 3  # of the trials, around which the space is narrowed


def refine(run_dir: str | Path, out: str | Path, *, trials: int, expand: bool = False, **given: Any) -> TuneResult:
    """Search on by `bayes` around the best trials of a finished run; all its trials count as this one's first.

    What held-out speech has confirmed there is the incumbent here: it stays unless something better is found.

    Args:
        run_dir: Of a finished run of `stt-tune tune`, a path or a URL; so is `out`.
        out: The run folder; it must not hold a run yet.
        trials: How many more.
        expand: Whether the space may leave the bounds of the sweep that it comes from.
        **given: Fields of `TuneSettings` that are others than then.

    Raises:
        SettingsError: The run is not finished, has no completed trial, or its data have changed.
        SttTuneError: As `tune`.
    """
    if trials < 1:
        raise SettingsError(f"--trials must be at least 1, found {trials}.")
    with opened_finished(run_dir) as (earlier, settings), opened(out) as folder:
        folder.check_new()
        return _refine(earlier, settings, folder, trials, given, expand=expand)


def _refine(
    earlier: RunFolder,
    settings: TuneSettings,
    folder: RunFolder,
    trials: int,
    given: Mapping[str, Any],
    *,
    expand: bool,
) -> TuneResult:
    sweep, table = earlier.read_sweep(), earlier.read_table(METRICS)
    best = choose_best(table, sweep.metric)
    if not best:
        raise SettingsError(f"{earlier.location}: must have a completed trial to search around, and has none.")
    around = best if len(best) >= _LEAST else []
    configurations = [sweep.nest(trial.configuration) for trial in around]
    refined = narrow_sweep(sweep, configurations, expand=expand, allows=_may_be)
    unlimited = {"time_budget_s": None, "gpu_hours": None, "target_wer": None, "min_improvement": None}
    found = earlier.read_config() or {}
    incumbent = found["hyperparameters"] if found.get("decision") == "winner" else settings.incumbent
    settings = replace(
        settings,
        trials=len(table.ended()) + trials,
        incumbent=incumbent,  # it stays unless something better is found
        retunes=None,  # that file is a re-tune's to replace, which has been at its end
        # earlier winners were that sweep's to begin with
        **{**unlimited, "start_from": (), **given},
    )
    check_fits(refined, settings)
    speech = load_prepared(settings)
    check_same_data(earlier.location, earlier.read_run(), settings, speech)
    for line in describe_narrowing(sweep.origin, refined, around):
        say(line)
    for line in describe_outside(refined, best[0], settings.default_configuration()):
        say(line)
    return run_new(folder, refined, settings, speech, earlier)


def choose_best(table: TrialTable, metric: Metric) -> list[Trial]:
    """The trials around which a sweep is refined: the best quarter, at least three, the best one first."""
    ranking = table.ranking(metric.name, metric.mode)
    return ranking[: max(math.ceil(_SHARE * len(ranking)), _LEAST)]


def describe_narrowing(sweep: SweepConfig, refined: SweepConfig, best: Sequence[Trial]) -> list[str]:
    """Say what has become of the space, a line a parameter."""
    lines = [
        f"the space around trials {', '.join(str(trial.number) for trial in best)}, the best ones:"
        if best
        else f"the space, not narrowed, as fewer than {_LEAST} trials were completed:"
    ]
    for name, parameter in refined.parameters.items():
        old, new = describe(sweep.parameters[name]), describe(parameter)
        lines.append(f"  {name}: {new}" + (f" (before: {old})" if old != new else ""))
    return lines


def describe_outside(refined: SweepConfig, best: Trial, default: Mapping[str, Any]) -> list[str]:
    """Say where the best trial, which may be an earlier winner or a default, lies outside of the space."""
    outside = find_outside(refined, refined.nest(best.configuration))
    unknown = [
        name
        for name, value in best.configuration.items()
        if name not in refined.parameters and value != default.get(name)
    ]
    if not (outside or unknown):
        return []
    found = ", ".join(f"{name}={best.configuration[name]!r}" for name in (*outside, *unknown))
    hint = " --expand lets ranges and choices go there." if outside else ""
    return [f"trial {best.number}, the best one, lies outside of it: {found}.{hint}"]


def _may_be(name: str, value: Any) -> bool:
    return not find_problems({name: value})
