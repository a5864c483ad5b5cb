"""Show a sweep's search space as a table."""

from __future__ import annotations

from rich.table import Table

from stt_tune.sweep.config import SweepConfig
from stt_tune.sweep.distributions import (
    Beta,
    Categorical,
    Constant,
    IntUniform,
    LogNormal,
    LogUniform,
    Normal,
    Parameter,
    Quantised,
    Uniform,
)

_QUANTILES = (0.05, 0.5, 0.95)


def render_space(sweep: SweepConfig) -> Table:
    """One row a parameter: its distribution, its values, and what lies at 5, 50 and 95 % of it.

    The quantiles show at a glance what a bound that was meant as a value does as an exponent.
    """
    grid = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    for heading in ("parameter", "distribution", "5 %", "median", "95 %"):
        is_text = len(grid.columns) < 2
        grid.add_column(heading, justify="left" if is_text else "right", no_wrap=heading != "distribution")
    for name, parameter in sweep.parameters.items():
        is_number = not isinstance(parameter, Constant | Categorical)
        quantiles = [f"{parameter.ppf(u):.4g}" for u in _QUANTILES] if is_number else [""] * len(_QUANTILES)
        grid.add_row(name, describe(parameter), *quantiles)
    return grid


def describe(parameter: Parameter) -> str:
    """A distribution in a few words.

    >>> describe(Categorical((8, 16), (0.25, 0.75)))
    'choice of 8 (25 %), 16 (75 %)'
    """
    match parameter:
        case Constant(value):
            return f"always {value!r}"
        case Categorical(values, None):
            return f"choice of {', '.join(map(repr, values))}"
        case Categorical(values, probabilities):
            weighted = zip(values, probabilities or (), strict=True)
            return f"choice of {', '.join(f'{value!r} ({100 * share:.0f} %)' for value, share in weighted)}"
        case IntUniform(low, high):
            return f"whole numbers {low} to {high}"
        case Uniform(low, high):
            return f"uniform {low:.4g} to {high:.4g}"
        case LogUniform(low, high):
            return f"log-uniform {low:.4g} to {high:.4g}"
        case Normal(mu, sigma):
            return f"normal, mean {mu:.4g}, deviation {sigma:.4g}"
        case LogNormal(mu, sigma):
            return f"log-normal, mean {mu:.4g}, deviation {sigma:.4g} of the logarithm"
        case Beta(a, b):
            return f"beta, a {a:.4g}, b {b:.4g}"
        case Quantised(base, q):
            return f"{describe(base)}, in steps of {q:.4g}"
    raise TypeError(f"no description of {parameter!r}")
