"""Fine-tune one model with one configuration, and report after every epoch."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from transformers import (
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    WhisperForConditionalGeneration,
)

from stt_tune.errors import DivergedError
from stt_tune.speech.decode import collate, measure, sum_loss
from stt_tune.speech.features import SpeechData
from stt_tune.speech.hyperparameters import Hyperparameters
from stt_tune.speech.model import SpeechModel
from stt_tune.speech.normalisers import load_normaliser
from stt_tune.speech.precision import find_precision
from stt_tune.speech.rates import ErrorRates, summarise
from stt_tune.speech.report import EpochReport

_UNMEASURED = ErrorRates(wer=math.nan, cer=math.nan, substitutions=math.nan, deletions=math.nan, insertions=math.nan)


@dataclass(frozen=True)
class TrainingSettings:
    """What is the same for all trials of a sweep.

    Attributes:
        seed: Of the batches' order and of dropout.
        audio_context_s: What clips are padded to in training and on the dev split, in seconds.
        normaliser: Its name, one of `NORMALISERS`.
    """

    seed: int
    audio_context_s: float
    normaliser: str


Report = Callable[[EpochReport], None]


def finetune(
    configuration: Mapping[str, Any],
    data: SpeechData,
    model: SpeechModel,
    report: Report,
    settings: TrainingSettings,
) -> WhisperForConditionalGeneration:
    """Train `model` on the train split and call `report` after each epoch.

    Args:
        configuration: Hyperparameters by name; see `Hyperparameters`.
        data: Prepared for this model; the test split is not touched.
        model: The weights to start from, left as they are.
        report: Called in this thread; what it raises ends the training.
        settings: What all trials share.

    Returns:
        The trained network, at the training's audio context.

    Raises:
        ValueError: The configuration holds what cannot be trained.
        DivergedError: A loss became NaN or infinite; that epoch has been reported.
    """
    chosen = Hyperparameters.from_mapping(configuration)
    # before the network is built: dropout and batches draw from these generators
    torch.manual_seed(settings.seed)
    network = model.build(dropout=chosen.dropout)
    model.set_audio_context(network, settings.audio_context_s)
    losses = _TrainingLoss()
    trainer = Trainer(
        model=network,
        args=_arguments(chosen, settings.seed),
        train_dataset=data.train,
        data_collator=lambda examples: collate(examples, model.prompt, settings.audio_context_s),
        compute_loss_func=losses,
        callbacks=[_ReportEpoch(data, model, report, settings, losses)],
    )
    trainer.remove_callback(PrinterCallback)
    with _deterministic():
        trainer.train()
    return network


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


def _arguments(chosen: Hyperparameters, seed: int) -> TrainingArguments:
    cpu = not torch.cuda.is_available()
    return TrainingArguments(
        learning_rate=chosen.learning_rate,
        per_device_train_batch_size=chosen.batch_size,
        num_train_epochs=chosen.epochs,
        # transformers reads a value below 1 as a ratio
        warmup_steps=chosen.warmup_steps or chosen.warmup_ratio,
        weight_decay=chosen.weight_decay,
        gradient_accumulation_steps=chosen.gradient_accumulation_steps,
        seed=seed,
        data_seed=seed,
        use_cpu=cpu,
        bf16=find_precision("cpu" if cpu else "cuda") == "bf16",
        remove_unused_columns=False,
        dataloader_pin_memory=not cpu,
        save_strategy="no",
        eval_strategy="no",
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )


class _TrainingLoss:
    """Computes the loss a token over an effective batch and keeps the epoch's sum.

    The sum stays on the device, so that no step waits for it; a NaN in any step shows in it.
    """

    def __init__(self) -> None:
        self._total: torch.Tensor | None = None
        self._tokens: torch.Tensor | None = None

    def __call__(self, outputs: Any, labels: torch.Tensor, num_items_in_batch: torch.Tensor | int) -> torch.Tensor:
        total = sum_loss(outputs["logits"], labels)
        tokens = (labels >= 0).sum()
        self._total = total.detach() if self._total is None else self._total + total.detach()
        self._tokens = tokens if self._tokens is None else self._tokens + tokens
        return total / num_items_in_batch

    def pop_mean(self) -> float:
        """The mean loss a token since the last call."""
        if self._total is None or self._tokens is None:
            return math.nan
        mean = float(self._total / self._tokens)
        self._total = self._tokens = None
        return mean


class _ReportEpoch(TrainerCallback):
    """Measures the dev split at the end of each epoch."""

    def __init__(
        self, data: SpeechData, model: SpeechModel, report: Report, settings: TrainingSettings, losses: _TrainingLoss
    ) -> None:
        self._data = data
        self._model = model
        self._report = report
        self._settings = settings
        self._losses = losses
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
        network: WhisperForConditionalGeneration = given["model"]
        epoch = round(state.epoch)
        train_loss = self._losses.pop_mean()
        if not math.isfinite(train_loss):
            self._give_up(epoch, train_loss, math.nan)
        dev = measure(
            network,
            self._data.dev,
            self._model,
            audio_context_s=self._settings.audio_context_s,
            normalise=self._normalise,
        )
        if not math.isfinite(dev.loss):
            self._give_up(epoch, train_loss, dev.loss)
        self._send(epoch, summarise(dev.utterances), train_loss, dev.loss)
        network.train()

    def _send(
        self, epoch: int, rates: ErrorRates, train_loss: float, dev_loss: float, *, diverged: bool = False
    ) -> None:
        seconds = time.monotonic() - self._start
        self._report(
            EpochReport(
                epoch, **asdict(rates), dev_loss=dev_loss, train_loss=train_loss, seconds=seconds, diverged=diverged
            )
        )

    def _give_up(self, epoch: int, train_loss: float, dev_loss: float) -> None:
        self._send(epoch, _UNMEASURED, train_loss, dev_loss, diverged=True)
        raise DivergedError(
            f"training diverged in epoch {epoch}: the loss must stay finite, found {train_loss} in training "
            f"and {dev_loss} on dev. A lower learning rate or more warm-up helps."
        )
