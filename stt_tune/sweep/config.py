"""A W&B sweep file, read and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from stt_tune.errors import SweepConfigError
from stt_tune.sweep.early_terminate import EarlyTerminate, parse_early_terminate
from stt_tune.sweep.parameters import Parameter, parse_parameter

_METHODS = ("random",)
_GOALS = ("minimize", "maximize")
# What W&B's own agent and pages need, and what has no meaning here.
_WANDB_KEYS = ("entity", "program", "command", "description")
_KEYS = ("method", "name", "project", "metric", "parameters", "early_terminate", *_WANDB_KEYS)


@dataclass(frozen=True)
class Metric:
    """The objective: what trials report under `name`, and whether less or more is better."""

    name: str = "wer"
    goal: str = "minimize"

    @property
    def mode(self) -> str:
        """Ray's word for the goal: `min` or `max`."""
        return self.goal[:3]


@dataclass(frozen=True)
class SweepConfig:
    """One sweep: what to try, how to compare, when to stop early.

    Attributes:
        name: What the sweep is called; W&B groups its runs by it.
        method: How configurations are chosen.
        metric: The objective.
        parameters: Distributions by name.
        early_terminate: Rungs for stopping weak trials, if any.
        project: The W&B project, if the file names one.
    """

    name: str
    method: str
    metric: Metric
    parameters: Mapping[str, Parameter]
    early_terminate: EarlyTerminate | None
    project: str | None = None

    @classmethod
    def from_yaml(cls, path: str | Path) -> SweepConfig:
        """Read a sweep file; a sweep without a `name` is called as its file.

        Raises:
            SweepConfigError: The file cannot be read, or what it says cannot be run.
        """
        path = Path(path)
        try:
            document = yaml.safe_load(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise SweepConfigError(str(path), [f"must be a readable sweep file, found: {error.strerror}."]) from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            reason = " ".join(str(error).split())
            raise SweepConfigError(str(path), [f"must be YAML, and cannot be read: {reason}."]) from error
        if isinstance(document, Mapping):
            document = {"name": path.stem, **document}
        return cls.from_dict(document, source=str(path))

    @classmethod
    def from_dict(cls, document: Any, source: str = "sweep") -> SweepConfig:
        """Read a sweep from what its YAML file holds.

        Args:
            document: The sweep.
            source: What messages call it.

        Raises:
            SweepConfigError: What it says cannot be run; all problems are told at once.
        """
        if not isinstance(document, Mapping):
            raise SweepConfigError(source, [f"must be a mapping with method and parameters, found {document!r}."])
        problems = [f"{key}: no such key. Known are {', '.join(_KEYS)}." for key in document if key not in _KEYS]
        if document.get("method") not in _METHODS:
            problems.append(f"method: must be one of {', '.join(_METHODS)}; found {document.get('method')!r}.")
        metric = _collect(problems, _parse_metric, document.get("metric", {}))
        parameters = _collect(problems, _parse_parameters, document.get("parameters"))
        early_terminate = None
        if document.get("early_terminate") is not None:
            early_terminate = _collect(problems, parse_early_terminate, document["early_terminate"])
        if problems or metric is None or parameters is None:
            raise SweepConfigError(source, problems)
        name, project = str(document.get("name") or "sweep"), document.get("project")
        return cls(name, document["method"], metric, parameters, early_terminate, str(project) if project else None)

    def sample(self, rng: np.random.Generator) -> dict[str, Any]:
        """Draw one configuration, each parameter independently."""
        return {name: parameter.ppf(float(rng.random())) for name, parameter in self.parameters.items()}

    def extremes(self) -> list[dict[str, Any]]:
        """Configurations that between them hold every bound and every listed value."""
        count = max(len(getattr(parameter, "values", ())) for parameter in self.parameters.values())
        steps = max(count, 2)
        quantiles = [step / (steps - 1) for step in range(steps)]
        return [{name: parameter.ppf(u) for name, parameter in self.parameters.items()} for u in quantiles]


def _collect(problems: list[str], parse: Any, spec: Any) -> Any:
    """Parse, or note what is wrong and give None, so that all problems are told at once."""
    try:
        return parse(spec)
    except ValueError as error:
        problems.extend(str(error).splitlines())
        return None


def _parse_metric(spec: Any) -> Metric:
    if not isinstance(spec, Mapping):
        raise ValueError(f"metric: must be a mapping with name and goal, found {spec!r}.")
    problems = [f"metric.{key}: no such key. Known are name, goal." for key in spec if key not in ("name", "goal")]
    metric = Metric(**{key: spec[key] for key in ("name", "goal") if key in spec})
    if not isinstance(metric.name, str) or not metric.name:
        problems.append(f"metric.name: must be a name, found {metric.name!r}.")
    if metric.goal not in _GOALS:
        problems.append(f"metric.goal: must be minimize or maximize, found {metric.goal!r}.")
    if problems:
        raise ValueError("\n".join(problems))
    return metric


def _parse_parameters(spec: Any) -> dict[str, Parameter]:
    if not isinstance(spec, Mapping) or not spec:
        raise ValueError(f"parameters: must be a mapping of at least one parameter, found {spec!r}.")
    problems: list[str] = []
    parameters = {
        str(name): _collect(problems, lambda each: parse_parameter(*each), (str(name), entry))
        for name, entry in spec.items()
    }
    if problems:
        raise ValueError("\n".join(problems))
    return parameters
