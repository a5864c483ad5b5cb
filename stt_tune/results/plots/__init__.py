"""Pictures of a sweep: each function takes a tidy frame and gives a Plotly figure."""

from stt_tune.results.plots.curves import plot_best_so_far, plot_learning_curves, plot_progress
from stt_tune.results.plots.outcomes import plot_cost, plot_endings, plot_rates
from stt_tune.results.plots.parallel import plot_parallel_coordinates
from stt_tune.results.plots.parameters import plot_importance, plot_parameter, plot_partial_dependence
from stt_tune.results.plots.remaining import plot_before_and_after
from stt_tune.results.plots.searches import plot_searches

__all__ = [
    "plot_before_and_after",
    "plot_best_so_far",
    "plot_cost",
    "plot_endings",
    "plot_importance",
    "plot_learning_curves",
    "plot_parallel_coordinates",
    "plot_parameter",
    "plot_partial_dependence",
    "plot_progress",
    "plot_rates",
    "plot_searches",
]
