"""Fine-tune one model with one configuration, and report after every epoch."""

from __future__ import annotations

import contextlib
import math
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    PreTrainedModel,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    set_seed,
)

from stt_tune.errors import DivergedError, TrainingMemoryError
from stt_tune.progress import say
from stt_tune.speech.adaptation import Adaptation
from stt_tune.speech.checkpoint import take_whole
from stt_tune.speech.decode import Measurement, list_cases, measure, summarise_kinds
from stt_tune.speech.example import Example, SpeechData
from stt_tune.speech.families.base import SpeechModel
from stt_tune.speech.frozen import has_one_length, uses_states, without_states
from stt_tune.speech.hyperparameters import Hyperparameters
from stt_tune.speech.kernels import without_plans
from stt_tune.speech.memory import free, ran_out
from stt_tune.speech.normalisers import load_normaliser
from stt_tune.speech.precision import find_precision
from stt_tune.speech.ranks import ALONE, Ranks
from stt_tune.speech.rates import ErrorRates, UtteranceErrors, summarise
from stt_tune.speech.report import EpochReport
from stt_tune.speech.sample import sample
from stt_tune.speech.trainer import SpeechTrainer

_UNMEASURED = ErrorRates(**dict.fromkeys((each.name for each in fields(ErrorRates)), math.nan))


@dataclass(frozen=True)
class TrainingSettings:
    """What is the same for all trials of a sweep.

    Attributes:
        seed: Of the batches' order and of dropout.
        audio_context_s: What clips are padded to in training and on the dev split, in seconds, where production pads to
            a fixed length; None: to the longest of each batch, or of all where a frozen encoder is run once.
        normaliser: Its name, one of `NORMALISERS`.
    """

    seed: int
    audio_context_s: float | None
    normaliser: str


Report = Callable[[EpochReport], None]


def finetune(
    configuration: Mapping[str, Any],
    data: SpeechData,
    model: SpeechModel,
    report: Report,
    settings: TrainingSettings,
    *,
    checkpoints: Path | None = None,
    on_checkpoint: Callable[[Path], None] | None = None,
    tell: Callable[[str], None] = say,
    ranks: Ranks = ALONE,
) -> PreTrainedModel:
    """Train `model` on the train split and call `report` after each epoch.

    Args:
        configuration: Hyperparameters by name; see `Hyperparameters`.
        data: Prepared for this model; the test split is not touched.
        model: The weights to start from, left as they are.
        report: Called in this thread; what it raises ends the training.
        settings: What all trials share.
        checkpoints: Where the state after the last epoch is kept, a folder of this training alone; training
            goes on from what lies there.
        on_checkpoint: Called with the folder of each checkpoint once it is written, in another thread; it has returned
            before the next epoch is reported.
        tell: Told what the user should know of the training, in a line.
        ranks: The processes that train together, each of which calls this with the same arguments; the first of them
            alone measures, reports and saves.

    Returns:
        The trained network, to be used through `model`, which fits it to each batch.

    Raises:
        ValueError: The configuration holds what cannot be trained.
        DivergedError: A loss became NaN or infinite; that epoch has been reported.
        TrainingMemoryError: Not even one utterance fits into memory.
        OtherFailedError: Another of the processes that train together has failed.
    """
    chosen = Hyperparameters.from_mapping(configuration)
    if unsuited := model.find_unsuited(configuration):
        raise ValueError("\n".join(unsuited))
    if torch.cuda.is_available():
        free()  # the training before has left its graphs and moments there, in cycles
    # before the network is built: dropout and batches draw from these generators
    torch.manual_seed(settings.seed)
    network = model.build({name: getattr(chosen, name) for name in ("dropout", "mask_time_prob", "mask_feature_prob")})
    adaptation = Adaptation(network, model, chosen)
    if not uses_states(chosen, model):
        data = replace(data, **{each.name: without_states(getattr(data, each.name)) for each in fields(data)})
    examples = _mix(data, chosen.replay_ratio, settings.seed)
    trainer = SpeechTrainer(
        speech_model=model,
        audio_context_s=settings.audio_context_s,
        micro_batch=chosen.batch_size,
        label_smoothing=chosen.label_smoothing_factor,
        on_checkpoint=on_checkpoint,
        tell=tell,
        model=network,
        ranks=ranks,
        args=_arguments(chosen, settings.seed, checkpoints, is_saved=ranks.is_first),
        train_dataset=examples,
    )
    if ranks.is_first:
        trainer.add_callback(_ReportEpoch(data, model, report, settings, trainer, adaptation))
    else:
        set_seed(settings.seed + ranks.index)  # of dropout and masks; the order of utterances has a seed of its own
    begun = take_whole(checkpoints) if checkpoints else None
    has_few_shapes = has_one_length(examples, model, settings.audio_context_s)
    with _deterministic(), contextlib.nullcontext() if has_few_shapes else without_plans():
        trainer.train(resume_from_checkpoint=str(begun) if begun else None)
    adaptation.finish()
    return network


def _mix(data: SpeechData, ratio: float, seed: int) -> list[Example]:
    """The train split with utterances from the replay set, which are to be `ratio` of all."""
    wanted = round(ratio / (1 - ratio) * len(data.train))
    if not wanted:
        return data.train
    drawn = np.random.default_rng(seed).choice(len(data.replay), wanted, replace=wanted > len(data.replay))
    return [*data.train, *(data.replay[i] for i in drawn)]


@contextlib.contextmanager
def _deterministic() -> Iterator[None]:
    """On the CPU, let the same seed give the same weights to the last bit; it costs no time there.

    On GPUs deterministic kernels are slow, and the same seed gives the same to rounding only.
    """
    deterministic: Any = torch.utils.deterministic
    enabled, fill = torch.are_deterministic_algorithms_enabled(), deterministic.fill_uninitialized_memory
    torch.use_deterministic_algorithms(enabled or not torch.cuda.is_available())
    deterministic.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(enabled)
        deterministic.fill_uninitialized_memory = fill


def _arguments(chosen: Hyperparameters, seed: int, checkpoints: Path | None, *, is_saved: bool) -> TrainingArguments:
    cpu = not torch.cuda.is_available()
    precision = find_precision("cpu" if cpu else "cuda")
    arguments = TrainingArguments(
        output_dir=str(checkpoints or Path(tempfile.gettempdir()) / "stt_tune"),  # else one in the current folder
        learning_rate=chosen.learning_rate,
        lr_scheduler_type=chosen.lr_scheduler_type,
        per_device_train_batch_size=chosen.batch_size * chosen.gradient_accumulation_steps,
        num_train_epochs=chosen.epochs,
        # transformers reads a value below 1 as a ratio
        warmup_steps=chosen.warmup_steps or chosen.warmup_ratio,
        weight_decay=chosen.weight_decay,
        seed=seed,
        data_seed=seed,
        use_cpu=cpu,
        bf16=precision == "bf16",
        fp16=precision == "fp16",
        remove_unused_columns=False,
        dataloader_pin_memory=not cpu,
        accelerator_config={"non_blocking": not cpu},
        logging_nan_inf_filter=False,  # it waits for the device in each step; a NaN shows in the epoch's loss
        save_strategy="epoch" if checkpoints and is_saved else "no",
        eval_strategy="no",
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )
    arguments._n_gpu = min(arguments.n_gpu, 1)  # of several that it sees, transformers would divide batches among all
    return arguments


class _ReportEpoch(TrainerCallback):
    """Measures the dev split at the end of the last epoch, and a sample of it before."""

    def __init__(
        self,
        data: SpeechData,
        model: SpeechModel,
        report: Report,
        settings: TrainingSettings,
        trainer: SpeechTrainer,
        adaptation: Adaptation,
    ) -> None:
        self._dev = data.dev
        self._early = sample(data.dev)
        self._model = model
        self._report = report
        self._settings = settings
        self._trainer = trainer
        self._adaptation = adaptation
        self._normalise = load_normaliser(settings.normaliser)
        self._start = time.monotonic()

    def on_epoch_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **given: Any,
    ) -> None:
        """Measure and report; raise where training diverged."""
        try:
            self._end_epoch(args, state)
        except BaseException:
            self._trainer.leave()
            raise

    def _end_epoch(self, args: TrainingArguments, state: TrainerState) -> None:
        network = self._adaptation.network
        epoch = round(state.epoch)
        examples = self._early if epoch < args.num_train_epochs else self._dev
        train_loss = self._trainer.pop_mean_loss()
        if not math.isfinite(train_loss):
            self._give_up(epoch, train_loss, math.nan)
        dev = self._measure(network, examples)
        if not math.isfinite(dev.loss):
            self._give_up(epoch, train_loss, dev.loss)
        self._send(epoch, summarise(dev.utterances), train_loss, dev.loss, examples, dev.utterances)
        network.train()

    def _measure(self, network: PreTrainedModel, examples: Sequence[Example]) -> Measurement:
        try:
            return self._hear(network, examples)
        except TrainingMemoryError:
            if not self._trainer.give_back_memory():
                raise
        return self._hear(network, examples)

    def _hear(self, network: PreTrainedModel, examples: Sequence[Example]) -> Measurement:
        context_s = self._settings.audio_context_s
        try:
            with self._adaptation.applied():
                return measure(network, examples, self._model, audio_context_s=context_s, normalise=self._normalise)
        except RuntimeError as error:  # where weights are kept twice for that
            if not ran_out(error):
                raise
            raise TrainingMemoryError("memory ran out before dev was heard: a smaller model is needed.") from error

    def _send(
        self,
        epoch: int,
        rates: ErrorRates,
        train_loss: float,
        dev_loss: float,
        examples: Sequence[Example] = (),
        errors: Sequence[UtteranceErrors] = (),
        *,
        diverged: bool = False,
    ) -> None:
        self._trainer.settle_checkpoint()  # whoever is told of an epoch can rely on the one before
        seconds = time.monotonic() - self._start
        self._report(
            EpochReport(
                epoch,
                **asdict(rates),
                dev_loss=dev_loss,
                train_loss=train_loss,
                seconds=seconds,
                micro_batch=self._trainer.micro_batch,
                dev_utterances=len(examples),
                **summarise_kinds(examples, errors),
                utterances=list_cases(examples, errors),
                diverged=diverged,
            )
        )

    def _give_up(self, epoch: int, train_loss: float, dev_loss: float) -> None:
        self._send(epoch, _UNMEASURED, train_loss, dev_loss, diverged=True)
        raise DivergedError(
            f"training diverged in epoch {epoch}: the loss must stay finite, found {train_loss} in training "
            f"and {dev_loss} on dev. A lower learning rate or more warm-up helps."
        )
