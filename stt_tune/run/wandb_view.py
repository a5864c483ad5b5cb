"""The view of a sweep that W&B's users expect, as W&B's own workspace API describes one.

Importing this needs the extra `workspace`.

Source: names of columns as in examples/workspaces/04_column_management.py of
https://github.com/wandb/wandb-workspaces.
"""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

import wandb_workspaces.reports.v2 as wr
import wandb_workspaces.workspaces as ws

from stt_tune.results.trials import Trial, TrialTable
from stt_tune.run.verdict import describe_held_out
from stt_tune.run.wandb_place import WandbPlace
from stt_tune.run.wandb_result import BEST, JOB_TYPE
from stt_tune.sweep.config import SweepConfig
from stt_tune.sweep.distributions import Constant, LogNormal, LogUniform, Parameter, Quantised
from stt_tune.sweep.metric import Metric

_MAX_RUNS = 100  # curves in a plot; W&B shows ten unless told otherwise
_MOST_BANDS = 6
_TAGS = "tags:__ALL__"  # W&B's name of the column
_NO_NAME = ("So", "Sk", "Sm", "Sc", "Cs")  # kinds of characters that W&B refuses in a view's name


def build_view(
    entity: str, place: WandbPlace, sweep: SweepConfig, table: TrialTable, document: Mapping[str, Any] | None
) -> ws.Workspace:
    """Describe the view; nothing is sent.

    Args:
        entity: W&B entity that has the project.
        place: Where the runs are.
        sweep: What was searched.
        table: Its trials.
        document: What `optimal_config.json` holds, where there is one.
    """
    metric, varied = sweep.metric, find_varied(sweep)
    best, default = table.best(metric.name, metric.mode), table.default()
    winner = ((document or {}).get("winner") or {}).get("trial_id") or (best.trial_id if best else None)
    return ws.Workspace(
        entity=entity,
        project=place.project,
        name="".join(letter for letter in f"Sweep {place.group}" if unicodedata.category(letter) not in _NO_NAME),
        sections=[
            ws.Section(
                name="Sweep",
                is_open=True,
                layout_settings=ws.SectionLayoutSettings(columns=2, rows=2),
                panels=[
                    _plot_parameters(varied, metric),
                    wr.ParameterImportancePlot(with_respect_to=metric.name),
                    _plot_progress(metric),
                    wr.MarkdownPanel(markdown=_describe(sweep, table, document)),
                ],
            ),
            ws.Section(
                name="Curves by rung",
                is_open=True,
                layout_settings=ws.SectionLayoutSettings(columns=2, rows=2),
                panels=_plot_curves(sweep, table),
            ),
            ws.Section(name="Trials side by side", panels=[wr.RunComparer(diff_only="split")]),
        ],
        settings=ws.WorkspaceSettings(x_axis="epoch", max_runs=_MAX_RUNS),
        runset_settings=ws.RunsetSettings(
            filters=f"Metric('Group') == {_quote(place.group)}",
            order=[ws.Ordering(ws.Summary(metric.name), ascending=metric.mode == "min")],
            pinned_columns=[
                "run:displayName",
                *(f"summary:{name}" for name in ("status", metric.name, "epoch")),
                _TAGS,
                *(_accessor(name) for name in varied),
            ],
            baseline_run=default.trial_id if default else None,
            pinned_runs=[winner] if winner else [],
        ),
    )


def find_varied(sweep: SweepConfig) -> dict[str, Parameter]:
    """The parameters that are searched, without those of one value, by dotted names."""
    return {name: each for name, each in sweep.parameters.items() if not isinstance(each, Constant)}


def find_stretches(sweep: SweepConfig, trials: Sequence[Trial]) -> list[tuple[int, int, int]]:
    """The stretches from rung to rung: the epochs of both, and how many trials have reported after the first.

    The rungs are those of the longest run; a shorter one meets them earlier. Where there are many, the last stretch
    holds all that is left.

    Args:
        sweep: Its `early_terminate` has the rungs; without one there is one stretch.
        trials: All of them.
    """
    longest = max((trial.last_epoch for trial in trials), default=0)
    bands = sweep.early_terminate.bands if sweep.early_terminate else ()
    rungs = sorted({band for band in bands if band < longest})[: _MOST_BANDS - 1]
    edges = [0, *rungs, longest]
    return [
        (first, last, sum(trial.last_epoch > first for trial in trials))
        for first, last in itertools.pairwise(edges)
        if first < last
    ]


def _plot_parameters(varied: Mapping[str, Parameter], metric: Metric) -> wr.ParallelCoordinatesPlot:
    columns = [
        wr.ParallelCoordinatesPlotColumn(wr.Config(name), display_name=name, log=_is_logarithmic(each) or None)
        for name, each in varied.items()
    ]
    objective = wr.ParallelCoordinatesPlotColumn(wr.SummaryMetric(metric.name), display_name=metric.name)
    return wr.ParallelCoordinatesPlot(title="Parameters", columns=[*columns, objective])


def _plot_progress(metric: Metric) -> wr.ScatterPlot:
    return wr.ScatterPlot(
        title="Best so far",
        x=wr.Metric("CreatedTimestamp"),
        y=wr.SummaryMetric(metric.name),
        running_ymin=metric.mode == "min" or None,
        running_ymax=metric.mode == "max" or None,
    )


def _plot_curves(sweep: SweepConfig, table: TrialTable) -> list[wr.LinePlot]:
    name, stretches = sweep.metric.name, find_stretches(sweep, table.trials)
    plots = [_plot_curve(f"{name}, all epochs", name, (None, None))]
    if len(stretches) < 2:
        return plots
    return plots + [
        _plot_curve(
            f"{name} from epoch {first} to {last}: {count} trials that went on"
            if first
            else f"{name} up to epoch {last}: {count} trials",
            name,
            (first, last),
        )
        for first, last, count in stretches
    ]


def _plot_curve(title: str, metric: str, epochs: tuple[float | None, float | None]) -> wr.LinePlot:
    return wr.LinePlot(title=title, title_x="epoch", x="epoch", y=[metric], range_x=epochs, max_runs_to_show=_MAX_RUNS)


def _describe(sweep: SweepConfig, table: TrialTable, document: Mapping[str, Any] | None) -> str:
    """The verdict, in Markdown."""
    counts = ", ".join(f"{count} {status.replace('_', ' ')}" for status, count in table.counts().items())
    best = table.best(sweep.metric.name, sweep.metric.mode)
    lines = [f"{len(table.trials)} trials: {counts}."]
    if best:
        lines.append(f"Best on dev: trial {best.number}, {sweep.metric.name} {best.last(sweep.metric.name):.4f}.")
    if document and document.get("held_out"):
        lines += describe_held_out(document)
    lines.append(f"The best run has the tag `{BEST}`.")
    if document:
        lines.append(f"The configuration to train with is the newest artifact of type `{JOB_TYPE}`.")
    return "\n\n".join(line.strip() for line in lines)


def _is_logarithmic(parameter: Parameter) -> bool:
    if isinstance(parameter, Quantised):
        return _is_logarithmic(parameter.base)
    return isinstance(parameter, LogUniform | LogNormal)


def _accessor(name: str) -> str:
    """A column of the table for a parameter; nested ones lie within the value of the outermost.

    >>> _accessor("learning_rate"), _accessor("optimiser.name")
    ('config:learning_rate.value', 'config:optimiser.value.name')
    """
    first, *rest = name.split(".")
    return ".".join([f"config:{first}", "value", *rest])


def _quote(text: str) -> str:
    """A string literal for W&B's filters; as text, = < and > in it would be changed before it is parsed."""
    return "'" + "".join(f"\\U{ord(letter):08x}" for letter in text) + "'"
