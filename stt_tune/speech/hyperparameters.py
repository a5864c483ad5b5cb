"""The hyperparameters that fine-tuning knows, what each must be, and the untuned default."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Hyperparameters:
    """One configuration; its defaults are what people train with untuned.

    Attributes:
        learning_rate: Peak of the schedule: linear warm-up, then linear decay to 0.
        batch_size: Utterances in one forward pass.
        epochs: Passes over the training split.
        warmup_steps: Optimiser steps of warm-up. Excludes `warmup_ratio`.
        warmup_ratio: Warm-up as a fraction of all optimiser steps. Excludes `warmup_steps`.
        weight_decay: AdamW's decoupled weight decay.
        dropout: Probability for the layers' outputs and embeddings.
        gradient_accumulation_steps: Forward passes in one optimiser step; the effective batch
            is `batch_size * gradient_accumulation_steps` utterances.
    """

    learning_rate: float = 1e-5
    batch_size: int = 16
    epochs: int = 5
    warmup_steps: int = 0
    warmup_ratio: float = 0.0
    weight_decay: float = 0.01
    dropout: float = 0.0
    gradient_accumulation_steps: int = 1

    @classmethod
    def from_mapping(cls, configuration: Mapping[str, Any]) -> Hyperparameters:
        """Build from a configuration; what it leaves out keeps its default.

        Raises:
            ValueError: A name or a value is refused; the message holds all problems, one a line.
        """
        problems = find_problems(configuration)
        if problems:
            raise ValueError("\n".join(problems))
        # YAML may give 16.0 for a whole number, and 0 for a real one
        typed: dict[str, Any] = {
            name: int(value) if _RULES[name].whole else float(value) for name, value in configuration.items()
        }
        return cls(**typed)

    def to_dict(self) -> dict[str, Any]:
        """The configuration as written to files: the warm-up that is not used is left out."""
        unused = "warmup_ratio" if self.warmup_steps else "warmup_steps"
        return {name: value for name, value in asdict(self).items() if name != unused}


NAMES = tuple(each.name for each in fields(Hyperparameters))


@dataclass(frozen=True)
class _Rule:
    must: str
    holds: Callable[[float], bool]
    whole: bool = False


_RULES = {
    "learning_rate": _Rule("a number above 0", lambda value: value > 0),
    "batch_size": _Rule("a whole number of at least 1", lambda value: value >= 1, whole=True),
    "epochs": _Rule("a whole number of at least 1", lambda value: value >= 1, whole=True),
    "warmup_steps": _Rule("a whole number of at least 0", lambda value: value >= 0, whole=True),
    "warmup_ratio": _Rule("a number from 0 to 1", lambda value: 0 <= value <= 1),
    "weight_decay": _Rule("a number of at least 0", lambda value: value >= 0),
    "dropout": _Rule("a number from 0 to below 1", lambda value: 0 <= value < 1),
    "gradient_accumulation_steps": _Rule("a whole number of at least 1", lambda value: value >= 1, whole=True),
}


def find_problems(configuration: Mapping[str, Any]) -> list[str]:
    """Say what is wrong with a configuration, one line a problem; nothing when it can be trained.

    >>> find_problems({"learning_rate": 1e-4, "epoch": 3})
    ['epoch: no such hyperparameter; did you mean epochs? Known are learning_rate, batch_size, \
epochs, warmup_steps, warmup_ratio, weight_decay, dropout, gradient_accumulation_steps.']
    """
    problems = []
    last_unknown = next((name for name in reversed(list(configuration)) if name not in _RULES), None)
    for name, value in configuration.items():
        if name not in _RULES:
            known = f" Known are {', '.join(_RULES)}." if name == last_unknown else ""
            problems.append(f"{name}: no such hyperparameter{_nearest(name)}{known}")
        elif not _is_allowed(value, _RULES[name]):
            problems.append(f"{name}: must be {_RULES[name].must}, found {value!r}.")
    if "warmup_steps" in configuration and "warmup_ratio" in configuration:
        problems.append("warmup_steps, warmup_ratio: only one of them can hold, found both. Remove one.")
    return problems


def _nearest(name: str) -> str:
    # other tools' names often hold ours: num_train_epochs, per_device_train_batch_size
    nearest = [each for each in _RULES if each in name] or difflib.get_close_matches(name, _RULES, n=1, cutoff=0.7)
    return f"; did you mean {nearest[0]}?" if nearest else "."


def _is_allowed(value: Any, rule: _Rule) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return False
    return (not rule.whole or float(value).is_integer()) and rule.holds(value)


def complete(configuration: Mapping[str, Any], default: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in from `default` what `configuration` leaves out; either warm-up excludes the other.

    >>> complete({"warmup_ratio": 0.1}, {"epochs": 5, "warmup_steps": 50})
    {'epochs': 5, 'warmup_ratio': 0.1}
    """
    warm_ups = ("warmup_steps", "warmup_ratio")
    chosen = any(name in configuration for name in warm_ups)
    kept = {name: value for name, value in default.items() if not (chosen and name in warm_ups)}
    return {**kept, **configuration}
