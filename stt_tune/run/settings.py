"""The settings of one run of `stt-tune tune`, as given and as kept in its `run.json`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from stt_tune.errors import SettingsError
from stt_tune.files import is_folder
from stt_tune.results.optimal_config import load_config, read_optimal_config
from stt_tune.run.budget import Budget
from stt_tune.run.seeds import MOST_SEED, is_seed
from stt_tune.speech.hyperparameters import Hyperparameters, complete
from stt_tune.speech.normalisers import NORMALISERS
from stt_tune.speech.packaged import PACKAGED_MODEL
from stt_tune.speech.rates import KINDS
from stt_tune.speech.rows import HUB
from stt_tune.storage import as_path, is_url
from stt_tune.sweep.early_terminate import SCHEDULERS
from stt_tune.sweep.numerals import is_number

AUTO = "auto"
WANDB_MODES = ("offline", "online", "disabled")
_OF_THIS_VERSION = "run.json: its settings must be those of this version of stt_tune"
_UPGRADE = "A run is gone on with by the version that began it, or a newer one."


@dataclass(frozen=True)
class TuneSettings:
    """What to run on what, beside the sweep file.

    Attributes:
        data: The manifest, or another source of rows; see `read_rows`.
        split: Of a data set: only this one.
        columns: Our names of columns to those of `data`, where they are not to be guessed.
        model: What `load_model` takes.
        trials: How many, the default configuration among them; None: the sweep's `run_cap`, its whole
            grid, or 20.
        scheduler: One of `SCHEDULERS`.
        seed: Of draws, splits, training and resampling.
        default: The untuned configuration that everything is compared with.
        start_from: Earlier winners, the first trials after the default.
        time_budget_s: What the sweep may take, in seconds; see `Budget`, also of the next three.
        gpu_hours: What its trials may take.
        target_wer: It starts no further trial once one has reached this.
        min_improvement: It ends once its model expects less of the next trial, relative to the best.
        trial_timeout_s: A trial that reports nothing for so long is ended; None: never.
        max_concurrent: Trials at a time; None: one a GPU, or one on all CPU cores.
        gpus_per_trial: GPUs, which may lie on several nodes, or a fraction of one; None: one where there is one.
        trials_per_gpu: How many trials share a GPU; `auto`: as many as it takes.
        gpu_type: Ray's name of the GPUs to run on, such as `H100`; None: any.
        min_gpu_memory_gb: What each GPU has at least, in 10^9 bytes; None: any.
        wandb: One of `WANDB_MODES`.
        wandb_project: The W&B project; None: the sweep file's, or `stt-tune`.
        normaliser: One of `NORMALISERS`.
        audio_context_s: What clips are padded to in training, in seconds; None: to the longest of each batch.
        language: Whisper's code of the spoken language, for multilingual models.
        skip_bad: Whether bad rows are set aside instead of refused.
        address: A Ray cluster to join; None or `local`: a Ray of this run's own.
        insecure_cluster: Whether it may be one that others can reach, and that asks for no token.
        only_error_type: Leave only the cases of this kind, one of `KINDS`, in every split; None: all cases.
        replay: A manifest of utterances that the system gets right today, for `replay_ratio`.
        guard: A manifest of utterances that the system gets right today, and has to go on getting right.
        guard_tolerance: How far the WER on them may rise, absolute.
        incumbent: The configuration that production uses today; candidates have to be better than it.
        retunes: The shared `optimal_config.json` (a path or a URL) that the run is to replace with a better
            one; `default` then is the incumbent that it holds.
        min_gain: The relative gain over it, beyond chance, that this takes.
        record: Whether its history is told where it stays as it is.
        extend_vocabulary: Whether characters that a CTC model lacks are added to it.
        keep_best_model: Whether the weights of the best trial are kept.
        ctranslate2: Whether they are kept in CTranslate2's format, too.
    """

    data: str
    model: str
    split: str | None = None
    columns: Mapping[str, str] | None = None
    trials: int | None = None
    scheduler: str = "asha"
    seed: int = 0
    default: Mapping[str, Any] | None = None
    start_from: Sequence[Mapping[str, Any]] = ()
    time_budget_s: float | None = None
    gpu_hours: float | None = None
    target_wer: float | None = None
    min_improvement: float | None = None
    trial_timeout_s: float | None = None
    max_concurrent: int | None = None
    gpus_per_trial: float | None = None
    trials_per_gpu: int | str | None = None
    gpu_type: str | None = None
    min_gpu_memory_gb: float | None = None
    wandb: str = "offline"
    wandb_project: str | None = None
    normaliser: str = "auto"
    audio_context_s: float | None = None
    language: str = "en"
    skip_bad: bool = False
    address: str | None = None
    insecure_cluster: bool = False
    only_error_type: str | None = None
    replay: str | None = None
    guard: str | None = None
    guard_tolerance: float = 0.005
    incumbent: Mapping[str, Any] | None = None
    retunes: str | None = None
    min_gain: float = 0.0
    record: bool = False
    extend_vocabulary: bool = False
    keep_best_model: bool = False
    ctranslate2: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot hold, all of it at once."""
        problems = [
            f"{name} must be {must}, found {value!r}."
            for name, value, must, holds in (
                ("--trials", self.trials, "at least 1", self.trials is None or self.trials >= 1),
                ("--scheduler", self.scheduler, f"one of {', '.join(SCHEDULERS)}", self.scheduler in SCHEDULERS),
                ("--seed", self.seed, f"from 0 to {MOST_SEED}", is_seed(self.seed)),
                (
                    "--max-concurrent",
                    self.max_concurrent,
                    "at least 1",
                    self.max_concurrent is None or self.max_concurrent >= 1,
                ),
                (
                    "--gpus-per-trial",
                    self.gpus_per_trial,
                    "a fraction of one, or a whole number",
                    _are_gpus(self.gpus_per_trial or 0),
                ),
                (
                    "--trials-per-gpu",
                    self.trials_per_gpu,
                    f"{AUTO} or at least 1",
                    self.trials_per_gpu is None or _is_count(self.trials_per_gpu),
                ),
                (
                    "--gpus-per-trial",
                    self.gpus_per_trial,
                    "left out where --trials-per-gpu is given",
                    self.trials_per_gpu is None or self.gpus_per_trial is None,
                ),
                (
                    "--only-error-type",
                    self.only_error_type,
                    f"one of {', '.join(KINDS)}",
                    self.only_error_type in (None, *KINDS),
                ),
                (
                    "--keep-best-model",
                    self.keep_best_model,
                    "given with --ctranslate2",
                    self.keep_best_model or not self.ctranslate2,
                ),
                ("--time-budget", self.time_budget_s, "above 0", self.time_budget_s is None or self.time_budget_s > 0),
                (
                    "--trial-timeout",
                    self.trial_timeout_s,
                    "above 0",
                    self.trial_timeout_s is None or self.trial_timeout_s > 0,
                ),
                ("--gpu-hours", self.gpu_hours, "above 0", self.gpu_hours is None or self.gpu_hours > 0),
                ("--target-wer", self.target_wer, "from 0 to 1 (0.1 for 10 %)", 0 <= (self.target_wer or 0) <= 1),
                (
                    "--min-improvement",
                    self.min_improvement,
                    "above 0 and below 1",
                    self.min_improvement is None or 0 < self.min_improvement < 1,
                ),
                ("--min-gain", self.min_gain, "from 0 to below 1", 0 <= self.min_gain < 1),
                ("--guard-tolerance", self.guard_tolerance, "from 0 to 1", 0 <= self.guard_tolerance <= 1),
                (
                    "--audio-context",
                    self.audio_context_s,
                    "at least 1 second",
                    self.audio_context_s is None or (is_number(self.audio_context_s) and self.audio_context_s >= 1),
                ),
                ("--wandb", self.wandb, f"one of {', '.join(WANDB_MODES)}", self.wandb in WANDB_MODES),
                ("--normaliser", self.normaliser, f"one of {', '.join(NORMALISERS)}", self.normaliser in NORMALISERS),
            )
            if not holds
        ]
        if problems:
            raise SettingsError("\n".join(problems))

    @property
    def resources_per_trial(self) -> dict[str, Any]:
        """What each trial is to get, where it is not to be found; see `Asked`."""
        gpus = 1 / self.trials_per_gpu if isinstance(self.trials_per_gpu, int) else self.gpus_per_trial
        asked = {
            "gpu": gpus,
            "workers": int(gpus) if gpus and gpus > 1 else None,
            "gpu_type": self.gpu_type,
            "gpu_memory_gb": self.min_gpu_memory_gb,
        }
        return {name: value for name, value in asked.items() if value is not None}

    def default_configuration(self, also: Collection[str] = ()) -> dict[str, Any]:
        """The default with all its hyperparameters; those in `also` are named in any case."""
        return Hyperparameters.from_mapping(self.default or {}).to_dict(also)

    @property
    def budget(self) -> Budget:
        """What ends the sweep before its last trial."""
        return Budget(self.time_budget_s, self.gpu_hours, self.target_wer, self.min_improvement)

    def first_configurations(self, default: Mapping[str, Any], trials: int) -> list[dict[str, Any]]:
        """Earlier winners to begin with, each once and none of them the default; no more than half of the trials."""
        winners: list[dict[str, Any]] = []
        for each in self.start_from:
            configuration = complete(each, default)
            if configuration not in (default, *winners):
                winners.append(configuration)
        return winners[: trials // 2]

    def fresh_seeds(self, count: int) -> list[int]:
        """Seeds that the search never used, the same ones whenever they are asked for."""
        return [self.seed + 1 + i for i in range(count)]

    def incumbent_configuration(self) -> dict[str, Any] | None:
        """What production uses, with all its hyperparameters; None where that is not known."""
        if self.incumbent is None:
            return None
        return self.complete_configuration(self.incumbent)

    def complete_configuration(self, configuration: Mapping[str, Any]) -> dict[str, Any]:
        """A configuration with all its hyperparameters, in the one form by which they can be compared."""
        return Hyperparameters.from_mapping(complete(configuration, self.default_configuration())).to_dict()

    def to_dict(self) -> dict[str, Any]:
        """As it stands in `run.json`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> TuneSettings:
        """Read what `to_dict` gave.

        Raises:
            SettingsError: A name or a type is not as written.
        """
        known = {field.name for field in fields(cls)}
        if set(document) - known:
            unknown = ", ".join(sorted(set(document) - known))
            raise SettingsError(f"{_OF_THIS_VERSION}, found {unknown}, too. {_UPGRADE}")
        try:
            return cls(**document)
        except TypeError as error:
            raise SettingsError(f"{_OF_THIS_VERSION}, and some are missing. {_UPGRADE}") from error


def _is_count(trials: int | str) -> bool:
    return trials == AUTO or (isinstance(trials, int) and trials >= 1)


def _are_gpus(number: float) -> bool:
    """Whether a trial can have so many GPUs.

    >>> [_are_gpus(each) for each in (0, 0.5, 1, 4, 1.5, -1)]
    [True, True, True, True, False, False]
    """
    return number >= 0 and (number < 1 or float(number).is_integer())


def check_normaliser(name: str) -> None:
    """Refuse a normaliser that there is not.

    Raises:
        SettingsError: `name` is none of `NORMALISERS`.
    """
    if name not in NORMALISERS:
        raise SettingsError(f"--normaliser must be one of {', '.join(NORMALISERS)}, found {name!r}.")


def locate(source: str) -> str:
    """A source of rows, so that it is found from any folder."""
    return source if source.startswith(HUB) or is_url(source) else str(Path(as_path(source)).absolute())


def locate_model(name: str) -> str:
    """What `load_model` takes, so that a folder is found from any folder.

    Raises:
        SettingsError: It is a path that cannot be looked at.
    """
    return locate(name) if name != PACKAGED_MODEL and is_folder(Path(as_path(name))) else name


def read_columns(text: str | None) -> dict[str, str] | None:
    """Read `--columns`.

    Raises:
        SettingsError: It is no list of pairs.

    >>> read_columns("audio=path,text=sentence")
    {'audio': 'path', 'text': 'sentence'}
    """
    if text is None:
        return None
    pairs = [pair.partition("=") for pair in text.split(",")]
    if not all(name and equals for name, equals, _column in pairs):
        raise SettingsError(f"--columns must be pairs such as audio=path,text=sentence, found {text!r}.")
    return {name.strip(): column.strip() for name, _equals, column in pairs}


def read_memory(text: str, option: str = "--min-gpu-memory") -> float:
    """Read a size of memory, in 10^9 bytes.

    Args:
        text: What is given.
        option: Where.

    Raises:
        SettingsError: It is none.

    >>> read_memory("40GB"), read_memory("24 gb"), round(read_memory("16GiB"), 2)
    (40.0, 24.0, 17.18)
    """
    units = {"gb": 1.0, "gib": 1024**3 / 1e9, "mib": 1024**2 / 1e9, "mb": 1e-3}
    lower = text.strip().lower()
    for unit, size in units.items():
        try:
            if lower.endswith(unit) and (number := float(lower.removesuffix(unit))) > 0:
                return number * size
        except ValueError:
            continue
    raise SettingsError(f"{option} must be a size such as 40GB or 16GiB, found {text!r}.")


def read_incumbent(location: str) -> dict[str, Any]:
    """Read the hyperparameters of the `optimal_config.json` that production uses.

    Args:
        location: A path or a URL.

    Raises:
        SettingsError: It is not valid, or holds what cannot be trained.
        SharedFileError: It cannot be reached.
    """
    return check_trainable(load_config(location), location)


def read_winners(location: str) -> list[dict[str, Any]]:
    """Read the configurations of an `optimal_config.json` that were once the best: today's, then earlier ones.

    Args:
        location: A path or a URL.

    Raises:
        SettingsError: It is not valid, or holds what cannot be trained.
        SharedFileError: It cannot be reached.
    """
    document = read_optimal_config(location)
    earlier = [entry["before"] for entry in reversed(document.get("history", [])) if entry.get("before")]
    entries = [document, *document.get("by_error_type", {}).values(), *earlier]
    return [check_trainable(each["hyperparameters"], location) for each in entries if each.get("hyperparameters")]


def found_with(document: Mapping[str, Any]) -> dict[str, str]:
    """What an `optimal_config.json` was found with, as settings; what it does not say is the command line's default."""
    return {
        "model": document.get("model", PACKAGED_MODEL),
        "language": document.get("language", "en"),
        "normaliser": document.get("normaliser", "auto").partition("/")[0],
    }


def check_trainable(hyperparameters: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Make sure that hyperparameters can be trained.

    Raises:
        SettingsError: They cannot.
    """
    try:
        Hyperparameters.from_mapping(hyperparameters)
    except ValueError as error:
        raise SettingsError("\n".join(f"{where}: {line}" for line in str(error).splitlines())) from error
    return dict(hyperparameters)
