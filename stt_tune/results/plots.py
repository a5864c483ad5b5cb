"""Pictures of a sweep; matplotlib comes with the extra `notebook`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = {
    "completed": "tab:blue",
    "stopped_early": "tab:grey",
    "diverged": "tab:red",
    "failed": "tab:red",
    "interrupted": "tab:orange",
}


def plot_learning_curves(reports: pd.DataFrame, ax: Axes, metric: str = "wer") -> None:
    """Draw the metric over epochs, a line a trial, coloured by status; the default's is dashed.

    Args:
        reports: What `load_reports` gives.
        ax: Where to draw.
        metric: A column of `reports`.
    """
    for number, curve in reports.dropna(subset=["epoch"]).groupby("number"):
        first = curve.iloc[0]
        ax.plot(
            curve["epoch"],
            curve[metric],
            color=_COLOURS[str(first["status"])],
            linestyle="--" if first["is_default"] else "-",
            marker="o",
            markersize=3,
            label=f"{number} {'default' if first['is_default'] else first['status']}",
        )
    ax.set(xlabel="epoch", ylabel=f"{metric} on dev", title="Learning curves")
    ax.legend(fontsize="small")


def plot_parameter(trials: pd.DataFrame, ax: Axes, parameter: str = "learning_rate", metric: str = "wer") -> None:
    """Draw each trial's last metric against one of its hyperparameters; the default is a star.

    Args:
        trials: What `load_trials` gives.
        ax: Where to draw.
        parameter: A hyperparameter; drawn on a logarithmic axis when it spans over a decade.
        metric: A column of `trials`.
    """
    column = f"config.{parameter}"
    for status, group in trials.groupby("status"):
        ax.scatter(group[column], group[metric], color=_COLOURS[str(status)], label=str(status))
    default = trials[trials["is_default"]]
    ax.scatter(default[column], default[metric], marker="*", s=160, color="black", label="default")
    smallest, largest = trials[column].min(), trials[column].max()
    ax.set(xlabel=parameter, ylabel=f"{metric} on dev", title=f"{parameter} against {metric}")
    if smallest > 0 and largest / smallest > 10:
        ax.set_xscale("log")
    ax.legend(fontsize="small")
