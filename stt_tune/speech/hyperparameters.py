"""The hyperparameters that fine-tuning knows, what each must be, and the untuned default."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

SCHEDULES = ("linear", "cosine", "constant_with_warmup", "inverse_sqrt")
FREEZES = ("none", "encoder", "feature_encoder")
LORA_TARGETS = ("attention", "all-linear")


@dataclass(frozen=True)
class Hyperparameters:
    """One configuration; its defaults are what people train with untuned.

    Attributes:
        learning_rate: Peak of the schedule.
        batch_size: Utterances in one forward pass, if memory allows.
        epochs: Passes over the training split.
        warmup_steps: Optimiser steps of linear warm-up. Excludes `warmup_ratio`.
        warmup_ratio: Warm-up as a fraction of all optimiser steps. Excludes `warmup_steps`.
        weight_decay: AdamW's decoupled weight decay.
        dropout: Probability for the layers' outputs and embeddings.
        gradient_accumulation_steps: Forward passes in one optimiser step; the effective batch
            is `batch_size * gradient_accumulation_steps` utterances.
        lr_scheduler_type: What follows the warm-up, one of `SCHEDULES`; linear and cosine fall to 0.
        freeze: What is not trained, one of `FREEZES`; None: the family's habit, which is the feature
            encoder for wav2vec 2.0, HuBERT and WavLM, and nothing for the others.
        mask_time_prob: SpecAugment: the share of time steps that begin a mask, about.
        mask_feature_prob: The same for channels.
        label_smoothing_factor: Share of a label's probability that is spread over all tokens.
        lora_rank: Of low-rank adapters, which are trained instead of the weights; 0: none.
        lora_alpha: The adapters' output is scaled by `lora_alpha / lora_rank`.
        lora_dropout: Probability for the adapters' inputs.
        lora_targets: Which layers get adapters, one of `LORA_TARGETS`.
        replay_ratio: Share of utterances from the replay manifest among those trained on.
        base_weight: How far the trained weights are moved back to the base model's: 0 not at all.
    """

    learning_rate: float = 1e-5
    batch_size: int = 16
    epochs: int = 5
    warmup_steps: int = 0
    warmup_ratio: float = 0.0
    weight_decay: float = 0.01
    dropout: float = 0.0
    gradient_accumulation_steps: int = 1
    lr_scheduler_type: str = "linear"
    freeze: str | None = None
    mask_time_prob: float = 0.0
    mask_feature_prob: float = 0.0
    label_smoothing_factor: float = 0.0
    lora_rank: int = 0
    lora_alpha: int = 16
    lora_dropout: float = 0.0
    lora_targets: str = "attention"
    replay_ratio: float = 0.0
    base_weight: float = 0.0

    @classmethod
    def from_mapping(cls, configuration: Mapping[str, Any]) -> Hyperparameters:
        """Build from a configuration; what it leaves out keeps its default.

        Raises:
            ValueError: A name or a value is refused; the message holds all problems, one a line.
        """
        problems = find_problems(configuration)
        if problems:
            raise ValueError("\n".join(problems))
        return cls(**{name: _RULES[name].read(value) for name, value in configuration.items()})

    def to_dict(self, also: Collection[str] = ()) -> dict[str, Any]:
        """The configuration as written to files: what people tune by hand, and whatever else is set.

        The warm-up that is not used is left out.

        Args:
            also: Names that are to be in it in any case, where they have a value.
        """
        counts_steps = self.warmup_steps or ("warmup_steps" in also and not self.warmup_ratio)
        unused = "warmup_ratio" if counts_steps else "warmup_steps"
        own = asdict(self)
        return {
            name: own[name]
            for name in NAMES
            if name != unused
            and (name in _BY_HAND or own[name] != getattr(Hyperparameters, name) or name in also)
            and own[name] is not None
        }


NAMES = tuple(each.name for each in fields(Hyperparameters))
_BY_HAND = NAMES[:8]


@dataclass(frozen=True)
class _Rule:
    must: str
    holds: Callable[[float], bool]
    whole: bool = False

    def allows(self, value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
            return False
        return (not self.whole or float(value).is_integer()) and self.holds(value)

    def read(self, value: Any) -> Any:
        # YAML may give 16.0 for a whole number, and 0 for a real one
        return int(value) if self.whole else float(value)


@dataclass(frozen=True)
class _Choice:
    values: tuple[str, ...]

    @property
    def must(self) -> str:
        return f"one of {', '.join(self.values)}"

    def allows(self, value: Any) -> bool:
        return value in self.values

    def read(self, value: Any) -> Any:
        return value


_COUNT = _Rule("a whole number of at least 1", lambda value: value >= 1, whole=True)
_COUNT_OR_NONE = _Rule("a whole number of at least 0", lambda value: value >= 0, whole=True)
_POSITIVE = _Rule("a number above 0", lambda value: value > 0)
_SHARE = _Rule("a number from 0 to below 1", lambda value: 0 <= value < 1)
_RULES: dict[str, _Rule | _Choice] = {
    "learning_rate": _POSITIVE,
    "batch_size": _COUNT,
    "epochs": _COUNT,
    "warmup_steps": _COUNT_OR_NONE,
    "warmup_ratio": _SHARE,
    "weight_decay": _Rule("a number of at least 0", lambda value: value >= 0),
    "dropout": _SHARE,
    "gradient_accumulation_steps": _COUNT,
    "lr_scheduler_type": _Choice(SCHEDULES),
    "freeze": _Choice(FREEZES),
    "mask_time_prob": _SHARE,
    "mask_feature_prob": _SHARE,
    "label_smoothing_factor": _SHARE,
    "lora_rank": _COUNT_OR_NONE,
    "lora_alpha": _COUNT,
    "lora_dropout": _SHARE,
    "lora_targets": _Choice(LORA_TARGETS),
    "replay_ratio": _SHARE,
    "base_weight": _SHARE,
}


def find_problems(configuration: Mapping[str, Any]) -> list[str]:
    """Say what is wrong with a configuration, one line a problem; nothing when it can be trained.

    >>> find_problems({"learning_rate": 0, "epoch": 3})[0]
    'learning_rate: must be a number above 0, found 0.'
    """
    problems = []
    last_unknown = next((name for name in reversed(list(configuration)) if name not in _RULES), None)
    for name, value in configuration.items():
        if name not in _RULES:
            known = f" Known are {', '.join(_RULES)}." if name == last_unknown else ""
            problems.append(f"{name}: no such hyperparameter{_nearest(name)}{known}")
        elif not _RULES[name].allows(value):
            problems.append(f"{name}: must be {_RULES[name].must}, found {value!r}.")
    if "warmup_steps" in configuration and "warmup_ratio" in configuration:
        problems.append("warmup_steps, warmup_ratio: only one of them can hold, found both. Remove one.")
    if configuration.get("lora_rank") and configuration.get("base_weight"):
        problems.append("base_weight: adapters are not moved back; found lora_rank, too. Lower lora_alpha instead.")
    return problems


def _nearest(name: str) -> str:
    # other tools' names often hold ours: num_train_epochs, per_device_train_batch_size
    nearest = [each for each in _RULES if each in name] or difflib.get_close_matches(name, _RULES, n=1, cutoff=0.7)
    return f"; did you mean {nearest[0]}?" if nearest else "."


def complete(configuration: Mapping[str, Any], default: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in from `default` what `configuration` leaves out; either warm-up excludes the other.

    >>> complete({"warmup_ratio": 0.1}, {"epochs": 5, "warmup_steps": 50})
    {'epochs': 5, 'warmup_ratio': 0.1}
    """
    warm_ups = ("warmup_steps", "warmup_ratio")
    chosen = any(name in configuration for name in warm_ups)
    kept = {name: value for name, value in default.items() if not (chosen and name in warm_ups)}
    return {**kept, **configuration}
