"""A Trainer whose step is one effective batch, in micro-batches that memory holds."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from transformers import PreTrainedModel, PrinterCallback, Trainer, set_seed
from transformers.trainer import SCHEDULER_NAME

from stt_tune.progress import say
from stt_tune.speech.batching import LikeLengths
from stt_tune.speech.checkpoint import FAILURES, CheckpointWriter, name_checkpoint
from stt_tune.speech.compilation import CompilationClock
from stt_tune.speech.example import Example
from stt_tune.speech.families.base import Batch, SpeechModel, count_tokens, take_rows
from stt_tune.speech.frozen import has_one_length
from stt_tune.speech.memory import free, halve, ran_out
from stt_tune.speech.passes import GraphedPasses
from stt_tune.speech.ranks import ALONE, Ranks

_BATCHES = "micro_batches"


class SpeechTrainer(Trainer):
    """Trains on effective batches; the loss is the mean over an effective batch's tokens.

    So how an effective batch is divided, among processes too, changes nothing but rounding. When memory runs out, the
    micro-batch is halved and the step repeated, and at last activations are computed twice instead of kept; each
    process does that by itself.

    Attributes:
        micro_batch: Utterances in one pass through the network.
    """

    def __init__(
        self,
        *,
        speech_model: SpeechModel,
        audio_context_s: float | None,
        micro_batch: int,
        label_smoothing: float,
        on_checkpoint: Callable[[Path], None] | None = None,
        tell: Callable[[str], None] = say,
        ranks: Ranks = ALONE,
        **given: Any,
    ) -> None:
        """Set up the trainer.

        Args:
            speech_model: Knows how to make batches and losses.
            audio_context_s: What clips are padded to, in seconds, where production pads to a fixed length; None: to
                the longest of each effective batch.
            micro_batch: Utterances in one pass, to begin with.
            label_smoothing: Share of a label's probability that is spread over all tokens.
            on_checkpoint: Called with the folder of each checkpoint once it is written, in another thread.
            tell: Told what the user should know, in a line.
            ranks: The processes that train together.
            given: As `Trainer` takes it; its batch size is the effective one.
        """
        super().__init__(data_collator=self._collate, **given)
        self.remove_callback(PrinterCallback)
        self.micro_batch = micro_batch
        self._speech_model = speech_model
        self._audio_context_s = audio_context_s
        self._label_smoothing = label_smoothing
        self._writer = CheckpointWriter(self.args.device, on_checkpoint, tell)
        self._tell = tell
        self._ranks = ranks
        self._computes_twice = False
        self._passes: GraphedPasses | None = None
        self._passes_since = 0  # the step at which they were begun, or begun anew
        self._clock = CompilationClock()
        # the sums stay on the device, so that no step waits for them; a NaN in any step shows in them
        self._total: torch.Tensor | float = 0.0
        self._tokens: torch.Tensor | int = 0

    def pop_mean_loss(self) -> float:
        """The mean loss a token since the last call."""
        mean = float(self._total / self._tokens) if isinstance(self._tokens, torch.Tensor) else math.nan
        self._total, self._tokens = 0.0, 0
        return mean

    def give_back_memory(self) -> bool:
        """Give back what passes hold between steps, and so go on slower; False where they hold nothing."""
        return bool(self._passes and self._passes.release())

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        model, examples = self._speech_model, cast("Sequence[Example]", train_dataset or self.train_dataset)
        if has_one_length(examples, model, self._audio_context_s):
            return super()._get_train_sampler(train_dataset)
        lengths = [model.find_length(each) for each in examples]
        return LikeLengths(lengths, self.args.train_batch_size, self.args.seed)

    def floating_point_ops(self, inputs: Any) -> int:
        """Nothing reads it."""
        return 0

    def settle_checkpoint(self) -> None:
        """Wait until the checkpoint that was begun last is written and sent."""
        self._writer.settle()

    def leave(self) -> None:
        """Let the processes that train with this one end, too, between two steps; where none is left, they do."""
        if self.state.global_step < self.state.max_steps:
            self._ranks.leave(self.args.device)

    def train(self, *given: Any, **named: Any) -> Any:
        """Train as `Trainer` does, and leave nothing that writes."""
        try:
            return super().train(*given, **named)
        finally:
            self._writer.close()

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        if self.state.global_step >= self.state.max_steps:
            return  # nothing is left to lose
        self.settle_checkpoint()
        folder = Path(self.args.output_dir or "")
        try:
            folder.parent.stat()  # it would be made anew where storage is gone
            super()._save_checkpoint(model, trial)
        except FAILURES as error:
            self._writer.tell_failure(folder, error)
            return
        path = name_checkpoint(folder, self.state.global_step)
        self._writer.begin(path, cast("torch.nn.Module", self.model), cast("torch.optim.Optimizer", self.optimizer))

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        """The writer writes weights."""
        Path(output_dir or "").mkdir(parents=True, exist_ok=True)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        """The writer writes the optimizer's moments."""
        torch.save(cast("Any", self.lr_scheduler).state_dict(), Path(output_dir, SCHEDULER_NAME))

    def _load_rng_state(self, checkpoint: str | None) -> None:
        super()._load_rng_state(checkpoint)
        if checkpoint and not self._ranks.is_first:
            # it is the first one's state that was saved, and others drop and mask something else
            set_seed(int(torch.randint(2**31, ())) + self._ranks.index)

    def _collate(self, examples: Sequence[Example]) -> dict[str, list[Batch]]:
        # of the whole batch, so that it does not matter how that is divided
        context_s = self._audio_context_s or self._speech_model.find_context(examples)
        examples = self._ranks.share(examples)
        parts = [examples[i : i + self.micro_batch] for i in range(0, len(examples), self.micro_batch)]
        return {_BATCHES: [self._speech_model.collate(part, context_s) for part in parts]}

    def training_step(
        self, model: Any, inputs: dict[str, Any], num_items_in_batch: torch.Tensor | int | None = None
    ) -> torch.Tensor:
        """Compute the gradient of one effective batch.

        Raises:
            TrainingMemoryError: Not even one utterance fits.
            OtherFailedError: Another process that trains the same network has failed.
        """
        model.train()
        self._prepare_passes(model)
        batches = self._divide(inputs[_BATCHES])  # made ahead, maybe when memory held larger ones
        tokens = sum((count_tokens(batch) for batch in batches), torch.zeros((), dtype=torch.long))
        tokens = self._ranks.add(tokens.to(self.args.device))
        total, failure = torch.zeros((), device=self.args.device), None
        try:
            while (loss := self._try_step(model, batches, tokens)) is None:
                if not self.give_back_memory():
                    batches = self._save_memory(model, batches)
            total = loss
        except Exception as error:  # noqa: BLE001 - raised again once the others know
            failure = error
        self._ranks.check(failure, self.args.device)
        self._ranks.add_gradients(model.parameters())
        total = self._ranks.add(total)
        self._total = self._total + total
        self._tokens = self._tokens + tokens
        return total / tokens

    def _try_step(self, model: PreTrainedModel, batches: Sequence[Batch], tokens: torch.Tensor) -> torch.Tensor | None:
        """Compute this process's part of the gradient, and its loss in all; None where memory has run out."""
        total = torch.zeros((), device=self.args.device)
        compute = self._passes or functools.partial(self._compute, model)
        if self._passes:
            done = self.state.global_step - self._passes_since
            # the optimizer takes its memory at the end of the first step, before graphs take any
            self._passes.begin((self.state.max_steps - self.state.global_step) / done if done else 0.0)
        try:
            for batch in batches:
                total += compute(batch, tokens)
        except RuntimeError as error:
            if not ran_out(error):
                raise
            return None
        return total

    def _compute(self, model: PreTrainedModel, batch: Batch, tokens: torch.Tensor) -> torch.Tensor:
        """Add a micro-batch's part of the gradient, and give its loss in all."""
        with self.compute_loss_context_manager():
            part = self._speech_model.compute_loss(
                model, self._prepare_inputs(batch), label_smoothing=self._label_smoothing
            )
        self.accelerator.backward(part.total / tokens)
        return part.total.detach()

    def _prepare_passes(self, model: PreTrainedModel) -> None:
        """On a GPU, let passes be captured, and layers compiled once that pays."""
        is_possible = self.args.bf16 and not self.args.use_cpu and self._speech_model.can_be_captured(model)
        if is_possible and self._passes is None:
            self._passes = GraphedPasses(functools.partial(self._compute, model), model, self._tell)
            self._passes_since = self.state.global_step
        if self._passes and self._clock.is_time(self.state.global_step, self.state.max_steps):
            self._passes.compile()
            self._passes_since = self.state.global_step

    def _save_memory(self, model: PreTrainedModel, batches: Sequence[Batch]) -> list[Batch]:
        """Make smaller micro-batches; where there are none, keep no activations for the way back."""
        model.zero_grad()
        size = max(len(batch["labels"]) for batch in batches)
        if size == 1 and model.supports_gradient_checkpointing and not self._computes_twice:
            self._computes_twice = True
            with warnings.catch_warnings(action="ignore", category=FutureWarning):  # later versions name it otherwise
                model.gradient_checkpointing_enable({"use_reentrant": False})
            free()
            if self._passes:
                self._passes.stop()  # what is computed twice draws the same dropout, by a state that has to be read
            self._tell("memory ran out with one utterance in a pass: going on slower, with activations computed twice")
            return list(batches)
        self.micro_batch = halve(size)
        self._tell(
            f"memory ran out: going on with {self.micro_batch} utterances in one pass, the effective batch unchanged"
        )
        if self._passes:
            self._passes.begin_anew()
            self._passes_since = self.state.global_step
        return self._divide(batches)

    def _divide(self, batches: Sequence[Batch]) -> list[Batch]:
        """Into micro-batches of the size of now."""
        return [
            take_rows(batch, start, self.micro_batch)
            for batch in batches
            for start in range(0, len(batch["labels"]), self.micro_batch)
        ]
