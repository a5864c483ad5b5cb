"""A W&B sweep, read and checked."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from stt_tune.errors import SettingsError, SweepConfigError
from stt_tune.sweep.distributions import Constant, Parameter, Quantised
from stt_tune.sweep.early_terminate import EarlyTerminate, parse_early_terminate
from stt_tune.sweep.metric import Metric, parse_metric
from stt_tune.sweep.nesting import nest
from stt_tune.sweep.numerals import is_count, read_numerals
from stt_tune.sweep.parameters import find_hints, parse_parameters
from stt_tune.sweep.plain import find_loop
from stt_tune.sweep.presets import DEFAULT_MODEL, find_preset
from stt_tune.sweep.yaml_file import read_yaml

METHODS = ("random", "bayes", "grid")
FindProblems = Callable[[Mapping[str, Parameter], Metric | None], Iterable[str]]
_TRIALS = 20  # of a sweep that says nothing else
_PRESET = {
    "metric": {"name": "wer", "goal": "minimize"},
    "early_terminate": {"type": "hyperband", "min_iter": 1, "eta": 3},
}
_TEXTS = ("name", "description", "project", "entity", "program")
# What W&B's own agent and service need; it is kept, and has no effect here.
_UNUSED = ("description", "program", "command", "apiVersion", "kind", "controller", "job", "image_uri")
_BETWEEN = 0.3719  # a quantile; of a continuous distribution it is no round number
_KEYS = ("method", "metric", "parameters", "early_terminate", "run_cap", "name", "project", "entity", *_UNUSED)
_ELSEWHERE = {
    "metrics": "more than one objective needs W&B's custom schedulers. Choose one as metric",
    "scheduler": "custom schedulers run at W&B only. Choose a method: random, bayes or grid",
}


def _find_none(_parameters: Mapping[str, Parameter], _metric: Metric | None) -> Iterable[str]:
    return ()


@dataclass(frozen=True)
class SweepConfig:
    """One sweep: what to try, how to compare, when to stop early.

    Attributes:
        name: What the sweep is called; W&B groups its runs by it.
        method: How configurations are chosen: `random`, `bayes` or `grid`.
        metric: The objective.
        parameters: Distributions by name; names of nested parameters have dots.
        paths: The keys that lead to each parameter in a configuration, by the same names.
        early_terminate: Where weak trials are stopped, if anywhere.
        run_cap: The sweep has no more trials than this.
        project: The W&B project, if the sweep names one.
        entity: The W&B entity, if the sweep names one.
        default: The configuration that people train with untuned, where it is known.
        num_trials: How many trials are planned, where that is known.
        frame: The wider sweep that it was narrowed from, in which its first trials lie.
        text: The sweep as YAML.
    """

    name: str
    method: str
    metric: Metric
    parameters: Mapping[str, Parameter]
    paths: Mapping[str, tuple[str, ...]] = field(repr=False)
    early_terminate: EarlyTerminate | None = None
    run_cap: int | None = None
    project: str | None = None
    entity: str | None = None
    default: Mapping[str, Any] | None = None
    num_trials: int | None = None
    frame: SweepConfig | None = field(default=None, compare=False, repr=False)
    text: str = field(default="", compare=False, repr=False)
    _document: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def from_yaml(cls, path: str | Path, *, also: FindProblems = _find_none) -> SweepConfig:
        """Read a sweep file; a sweep without a `name` is called as its file.

        Args:
            path: The file.
            also: Finds further problems, to be told together with those of the file itself.

        Raises:
            SweepConfigError: The file cannot be read, or what it says cannot be run.
        """
        path = Path(path)
        text, document = read_yaml(path)
        if isinstance(document, Mapping):
            document = {"name": path.stem, **document}
        return _parse(document, str(path), text, also)

    @classmethod
    def from_dict(cls, document: Any, source: str = "sweep") -> SweepConfig:
        """Read a sweep from what its YAML file holds.

        Args:
            document: The sweep.
            source: What messages call it.

        Raises:
            SweepConfigError: What it says cannot be run; all problems are told at once.
        """
        return _parse(document, source)

    @classmethod
    def create_finetuning_sweep(
        cls, method: str = "random", num_trials: int = 20, model: str = DEFAULT_MODEL, *, lora: bool = False
    ) -> SweepConfig:
        """The sweep over the seven hyperparameters that people tune by hand, in ranges that suit the model.

        Args:
            method: `random` or `bayes`.
            num_trials: How many trials it has, the model's default configuration among them.
            model: A family and size, or a name that holds them, such as `openai/whisper-large-v3-turbo`.
            lora: Whether low-rank adapters are trained instead of the model's own weights.

        Raises:
            SettingsError: The model's family or size is not known, `num_trials` is below 1, or
                `method` is another.
        """
        if method not in ("random", "bayes"):
            raise SettingsError(f"method: must be random or bayes, as most ranges are continuous; found {method!r}.")
        preset = find_preset(model, lora=lora)
        document = {"name": f"finetuning-{preset.name}", "method": method, "parameters": preset.parameters}
        return _plan(cls.from_dict({**document, **_PRESET}), preset.default, num_trials)

    @classmethod
    def create_minimal_sweep(
        cls, num_trials: int = 5, model: str = DEFAULT_MODEL, *, lora: bool = False
    ) -> SweepConfig:
        """A small random sweep over what matters most, learning rate and epochs; the rest is the model's default.

        Raises:
            SettingsError: The model's family or size is not known, or `num_trials` is below 1.
        """
        preset = find_preset(model, lora=lora)
        fixed = {name: {"value": value} for name, value in preset.default.items()}
        varied = {name: preset.parameters[name] for name in ("learning_rate", "epochs")}
        document = {"name": f"minimal-{preset.name}", "method": "random", "parameters": {**fixed, **varied}}
        return _plan(cls.from_dict({**document, **_PRESET}), preset.default, num_trials)

    def to_dict(self) -> dict[str, Any]:
        """The sweep as W&B writes it; `from_dict` reads the same sweep from it."""
        return copy.deepcopy(dict(self._document))

    def to_ray(self) -> dict[str, Any]:
        """The parameters as a `param_space` for Ray Tune: `tune.Tuner(trainable, param_space=sweep.to_ray())`.

        A grid is a grid there, too, if in Ray's order: the first name runs fastest, not the last.
        """
        from stt_tune.sweep.ray_space import to_domain, to_grid_search

        convert = to_grid_search if self.method == "grid" else to_domain
        return self.nest({name: convert(parameter) for name, parameter in self.parameters.items()})

    def sample(self, rng: np.random.Generator) -> dict[str, Any]:
        """Draw one configuration, each parameter independently; nested as the sweep is."""
        return self.nest({name: parameter.sample(rng) for name, parameter in self.parameters.items()})

    def grid(self) -> list[dict[str, Any]]:
        """Every configuration of a grid, in W&B's order: by sorted names, the last one running fastest.

        Raises:
            SweepConfigError: A parameter's values cannot be counted.
        """
        return [self.grid_point(number) for number in range(self.grid_size())]

    def grid_size(self) -> int:
        """How many configurations `grid` has.

        Raises:
            SweepConfigError: A parameter's values cannot be counted.
        """
        problems = _find_uncountable(self.parameters)
        if problems:
            raise SweepConfigError(self.name, problems)
        return math.prod(each.grid_size() or 0 for each in self.parameters.values())

    def grid_point(self, number: int) -> dict[str, Any]:
        """The configuration at place `number` of `grid`, from 0, without laying out the grid."""
        flat = {}
        names = sorted(self.parameters, key=lambda name: self.paths[name])
        for name in reversed(names):
            values = self.parameters[name].grid() or ()
            number, place = divmod(number, len(values))
            flat[name] = values[place]
        return self.nest({name: flat[name] for name in names})

    def hyperband_stops(self, histories: Mapping[str, Sequence[float]], running: Collection[str]) -> set[str]:
        """Names of the running trials that W&B's own early termination would stop now.

        Args:
            histories: The values of the metric that each trial has reported, by the trial's name.
            running: Names of the trials that are still running.

        Raises:
            SweepConfigError: The sweep has no `early_terminate`.
        """
        if self.early_terminate is None:
            raise SweepConfigError(self.name, ["early_terminate: must be there to stop trials, and is missing."])
        return self.early_terminate.stops(histories, running, self.metric.mode)

    def nest(self, flat: Mapping[str, Any]) -> dict[str, Any]:
        """A configuration as trials get it, from values by dotted names, the sweep's own or others."""
        return nest({self.paths.get(name, tuple(name.split("."))): value for name, value in flat.items()})

    def flatten(self, configuration: Mapping[str, Any]) -> dict[str, Any]:
        """The sweep's own values in a configuration, by dotted names; others are left out."""
        flat = {}
        for name, path in self.paths.items():
            value: Any = configuration
            for key in path:
                value = value.get(key, _MISSING) if isinstance(value, Mapping) else _MISSING
            if value is not _MISSING:
                flat[name] = value
        return flat

    def count_trials(self, asked: int | None = None) -> int:
        """How many trials the sweep has: as asked, or as planned, or 20.

        Never more than its `run_cap` or its grid has, and as many as these where nothing is asked.
        """
        limits = [] if self.run_cap is None else [self.run_cap]
        if self.method == "grid":
            limits.append(self.grid_size())
        wanted = self.num_trials if asked is None else asked
        return min([*limits, wanted]) if wanted is not None else min(limits, default=_TRIALS)

    @property
    def origin(self) -> SweepConfig:
        """The sweep that it was narrowed from, or itself: all its trials lie there."""
        return self.frame or self

    @property
    def hints(self) -> list[str]:
        """What can be run and is hardly meant, one line each."""
        return list(find_hints(self._document["parameters"]))

    @property
    def unused(self) -> list[str]:
        """Keys that W&B's service reads and that have no effect here."""
        imputation = [f"metric.{key}" for key in self._document.get("metric", {}) if key.startswith("impute")]
        return [key for key in self._document if key in _UNUSED] + imputation


_MISSING = object()


def _plan(sweep: SweepConfig, default: Mapping[str, Any], num_trials: int) -> SweepConfig:
    if not is_count(num_trials):
        raise SettingsError(f"num_trials: must be a whole number of at least 1, found {num_trials!r}.")
    return replace(sweep, default=default, num_trials=int(num_trials))


def _parse(document: Any, source: str, text: str | None = None, also: FindProblems = _find_none) -> SweepConfig:
    if not isinstance(document, Mapping):
        raise SweepConfigError(source, [f"must be a mapping with method and parameters, found {document!r}."])
    loops = [loop for key, each in document.items() if (loop := find_loop(each, str(key), (document,)))]
    if loops:
        advice = "lies inside of itself, as an alias does that stands for what it is a part of. Write it out."
        raise SweepConfigError(source, [f"{loop}: must end, and {advice}" for loop in loops])
    document = {key: copy.deepcopy(each) if key in _TEXTS else read_numerals(each) for key, each in document.items()}
    problems = [f"{key}: {_refuse(key)}." for key in document if key not in _KEYS]
    problems += _find_key_problems(document)
    metric: Metric | None = Metric()
    early_terminate = None
    if "metric" in document:
        metric = _collect(problems, parse_metric, document["metric"])
    elif document.get("method") == "bayes":
        problems.append("metric: bayes needs it to learn from, and it is missing. Name it, with a goal.")
    parsed = parse_parameters(document.get("parameters"), problems)
    if document.get("early_terminate") is not None:
        early_terminate = _collect(problems, parse_early_terminate, document["early_terminate"])
    problems += _find_space_problems(document.get("method"), parsed)
    parameters = {".".join(path): each for path, each in parsed.items()}
    problems += also(parameters, metric)
    if problems or metric is None:
        raise SweepConfigError(source, problems)
    return SweepConfig(
        name=document.get("name") or "sweep",
        method=document["method"],
        metric=metric,
        parameters=parameters,
        paths={".".join(path): path for path in parsed},
        early_terminate=early_terminate,
        run_cap=None if document.get("run_cap") is None else int(document["run_cap"]),
        project=document.get("project"),
        entity=document.get("entity"),
        text=text or yaml.safe_dump(document, sort_keys=False),
        _document=document,
    )


def find_examples(parameters: Mapping[str, Parameter]) -> list[dict[str, Any]]:
    """Configurations, by dotted names, that between them hold the extremes of every parameter, and one value between.

    The one between tells 1 to 4 in whole numbers from 1 to 4 in any.
    """
    values = {name: [*each.extremes(), each.ppf(_BETWEEN)] for name, each in parameters.items()}
    count = max(map(len, values.values()), default=0)
    return [{name: each[i % len(each)] for name, each in values.items()} for i in range(count)]


def _collect(problems: list[str], parse: Any, spec: Any) -> Any:
    """Parse, or note what is wrong and give None, so that all problems are told at once."""
    try:
        return parse(spec)
    except ValueError as error:
        problems.extend(str(error).splitlines())
        return None


def _refuse(key: Any) -> str:
    return _ELSEWHERE.get(key, f"no such key. Known are {', '.join(_KEYS)}")


def _find_key_problems(document: Mapping[str, Any]) -> Iterator[str]:
    method, run_cap, command = (document.get(key) for key in ("method", "run_cap", "command"))
    if method not in METHODS:
        yield f"method: must be one of {', '.join(METHODS)}; found {method!r}."
    if run_cap is not None and not is_count(run_cap):
        yield f"run_cap: must be a whole number of at least 1, found {run_cap!r}."
    for key in _TEXTS:
        if document.get(key) is not None and not isinstance(document[key], str):
            yield f"{key}: must be text, found {document[key]!r}."
    if command is not None and not isinstance(command, list):
        yield f"command: must be a list, found {command!r}."
    controller = document.get("controller")
    if controller is not None and controller != {"type": "cloud"}:
        yield "controller: local controllers have no meaning here: trials are scheduled by Ray. Remove it."


def _find_space_problems(method: Any, parameters: Mapping[tuple[str, ...], Parameter]) -> Iterator[str]:
    names = [".".join(path) for path in parameters]
    for name in {name for name in names if names.count(name) > 1}:
        yield f"parameters.{name}: stands twice, once with a dot in its name and once nested. Remove one."
    if method == "grid":
        yield from _find_uncountable({".".join(path): each for path, each in parameters.items()})
    if method == "bayes" and parameters and all(isinstance(each, Constant) for each in parameters.values()):
        yield "parameters: bayes needs at least one that varies, and all are constant."


def _find_uncountable(parameters: Mapping[str, Parameter]) -> list[str]:
    advice = "List values, use int_uniform or q_uniform, or choose the method random or bayes."
    return [
        f"parameters.{name}: a grid needs values that can be counted, and these have "
        f"{'no end' if isinstance(each, Quantised) else 'no gaps'}. {advice}"
        for name, each in parameters.items()
        if each.grid_size() is None
    ]
