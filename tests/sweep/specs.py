"""Parameter specs of every distribution, for tests that hold for all of them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

# One of each, as W&B writes them.
EVERY: dict[str, dict[str, Any]] = {
    "constant": {"value": 3},
    "categorical": {"values": ["linear", "cosine", "constant"]},
    "categorical_w_probabilities": {"values": [1, 2, 4], "probabilities": [0.5, 0.3, 0.2]},
    "int_uniform": {"min": 1, "max": 12},
    "uniform": {"min": -2.5, "max": 7.0},
    "log_uniform": {"distribution": "log_uniform", "min": -13.8, "max": -6.9},
    "log_uniform_values": {"distribution": "log_uniform_values", "min": 1e-6, "max": 1e-3},
    "inv_log_uniform": {"distribution": "inv_log_uniform", "min": 1, "max": 5},
    "inv_log_uniform_values": {"distribution": "inv_log_uniform_values", "min": 0.001, "max": 0.9},
    "normal": {"distribution": "normal", "mu": 5, "sigma": 2},
    "log_normal": {"distribution": "log_normal", "mu": -9, "sigma": 1.5},
    "beta": {"distribution": "beta", "a": 2, "b": 5},
    "q_uniform": {"distribution": "q_uniform", "min": 0, "max": 500, "q": 25},
    "q_log_uniform": {"distribution": "q_log_uniform", "min": 0, "max": 6, "q": 2},
    "q_log_uniform_values": {"distribution": "q_log_uniform_values", "min": 1, "max": 512, "q": 8},
    "q_normal": {"distribution": "q_normal", "mu": 100, "sigma": 20, "q": 10},
    "q_log_normal": {"distribution": "q_log_normal", "mu": 2, "sigma": 0.5, "q": 1},
    "q_beta": {"distribution": "q_beta", "a": 2, "b": 5, "q": 0.05},
}

_real = st.floats(-1e3, 1e3)
_width = st.floats(0.01, 1e3)
_steps = st.one_of(st.integers(1, 50), st.floats(0.01, 20))


def _between(distribution: str, lows: st.SearchStrategy[float], widths: st.SearchStrategy[float]) -> Any:
    return st.builds(lambda low, width: {"distribution": distribution, "min": low, "max": low + width}, lows, widths)


_continuous = {
    "uniform": _between("uniform", _real, _width),
    "log_uniform": _between("log_uniform", st.floats(-20, 5), st.floats(0.01, 10)),
    "log_uniform_values": _between("log_uniform_values", st.floats(1e-9, 10), _width),
    "normal": st.builds(lambda mu, sigma: {"distribution": "normal", "mu": mu, "sigma": sigma}, _real, _width),
    "log_normal": st.builds(
        lambda mu, sigma: {"distribution": "log_normal", "mu": mu, "sigma": sigma},
        st.floats(-10, 5),
        st.floats(0.01, 2),
    ),
    "beta": st.builds(lambda a, b: {"distribution": "beta", "a": a, "b": b}, st.floats(0.5, 20), st.floats(0.5, 20)),
}


def _quantised(strategy: Any) -> Any:
    return st.builds(lambda spec, q: {**spec, "distribution": f"q_{spec['distribution']}", "q": q}, strategy, _steps)


continuous_specs = st.one_of(
    *_continuous.values(),
    _between("inv_log_uniform", st.floats(-5, 10), st.floats(0.01, 10)),
    _between("inv_log_uniform_values", st.floats(1e-6, 1), _width),
)
quantised_specs = st.one_of(*(_quantised(each) for each in _continuous.values()))
weights = st.lists(st.integers(0, 9), min_size=1, max_size=8).filter(any)
_whole = st.integers(-(2**63), 2**63 - 1)
discrete_specs = st.one_of(
    st.builds(lambda value: {"value": value}, st.one_of(_whole, st.text(), st.booleans())),
    st.builds(lambda values: {"values": values}, st.lists(_whole, min_size=1, max_size=12, unique=True)),
    weights.map(lambda each: {"values": list(range(len(each))), "probabilities": [w / sum(each) for w in each]}),
    st.builds(lambda low, width: {"min": low, "max": low + width}, st.integers(-50, 50), st.integers(1, 60)),
)
quantiles = st.floats(0, 1)
