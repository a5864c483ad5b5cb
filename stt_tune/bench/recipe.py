"""The sweep that people write who have no stt_tune: transformers' own search over its own trainer.

As its documentation has it: Optuna with its default sampler and the median pruner, features computed
once and padded to the model's 30 s, generation at the end of each epoch, the library's defaults otherwise,
full precision among them.

Source: https://huggingface.co/docs/transformers/hpo_train, https://huggingface.co/blog/fine-tune-whisper
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import optuna
import torch
from transformers import PreTrainedModel, Seq2SeqTrainer, Seq2SeqTrainingArguments, TrainerCallback

from stt_tune.speech.example import Example, SpeechData
from stt_tune.speech.families.base import IGNORED
from stt_tune.speech.families.seq2seq import Seq2SeqModel
from stt_tune.speech.rates import count_errors, summarise
from stt_tune.sweep.config import SweepConfig
from stt_tune.sweep.distributions import Categorical, Constant, IntUniform, LogUniform, Parameter, Uniform

# A sweep's names, as the trainer's arguments have them; dropout is the network's own.
_ARGUMENTS = {
    "batch_size": "per_device_train_batch_size",
    "epochs": "num_train_epochs",
    "warmup_ratio": "warmup_steps",  # a ratio where it is below 1
}
_NETWORK = ("dropout",)
_LONGEST = 225  # tokens that are generated, as in the published recipe


@dataclass
class Recipe:
    """A search over trainings of one model on one set of data.

    Attributes:
        model: What is fine-tuned.
        data: On what.
        sweep: What is searched.
        normalise: Applied to references and hypotheses.
        seed: Of the sampler and of every training.
        samples_trained: Utterances trained on so far, each time counted.
    """

    model: Seq2SeqModel
    data: SpeechData
    sweep: SweepConfig
    normalise: Callable[[str], str]
    seed: int
    samples_trained: int = field(default=0, init=False)

    def search(self, trials: int) -> tuple[dict[str, Any], float]:
        """Find the best of so many configurations, by the trainer's names; give it with its dev WER."""
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        best: Any = self._build_trainer({}).hyperparameter_search(
            hp_space=self._suggest,
            compute_objective=lambda metrics: metrics["eval_wer"],
            n_trials=trials,
            direction="minimize",
            backend="optuna",
            sampler=optuna.samplers.TPESampler(seed=self.seed),
            pruner=optuna.pruners.MedianPruner(),
        )
        return dict(best.hyperparameters), float(best.objective)

    def train(self, configuration: Mapping[str, Any]) -> PreTrainedModel:
        """Train one configuration, by the trainer's names; give what it learned in a network as ours are."""
        trainer = self._build_trainer(configuration, eval_strategy="no")
        trainer.train()
        network = self.model.build()
        network.load_state_dict(trainer.model.state_dict())
        return network

    def _suggest(self, trial: optuna.Trial) -> dict[str, Any]:
        return {
            _ARGUMENTS.get(name, name): _suggest(trial, _ARGUMENTS.get(name, name), each)
            for name, each in self.sweep.parameters.items()
        }

    def _build_trainer(self, configuration: Mapping[str, Any], **changes: Any) -> Any:
        arguments = {
            "eval_strategy": "epoch",
            "warmup_steps": 0.0,  # the search casts what it finds to the type of what was there
            **{name: value for name, value in configuration.items() if name not in _NETWORK},
            **changes,
        }
        trainer: Any = Seq2SeqTrainer

        def init(trial: optuna.Trial | None = None) -> PreTrainedModel:
            # it is called before the trial has been asked for anything; Optuna answers alike if asked again
            return self._build_network(self._suggest(trial) if trial else configuration)

        with tempfile.TemporaryDirectory(prefix="stt_tune-") as folder:
            return trainer(
                model_init=init,
                args=Seq2SeqTrainingArguments(
                    output_dir=folder,
                    predict_with_generate=True,
                    generation_max_length=_LONGEST,
                    save_strategy="no",
                    logging_strategy="no",
                    report_to=[],
                    disable_tqdm=True,
                    seed=self.seed,
                    remove_unused_columns=False,
                    use_cpu=not torch.cuda.is_available(),
                    **arguments,
                ),
                train_dataset=self._rows(self.data.train),
                eval_dataset=self._rows(self.data.dev),
                data_collator=_collate,
                compute_metrics=self._measure,
                callbacks=[_Count(self)],
            )

    def _build_network(self, configuration: Mapping[str, Any]) -> PreTrainedModel:
        # as transformers has it, without what makes ours fast
        network = Seq2SeqModel.build(
            self.model, {name: configuration[name] for name in _NETWORK if name in configuration}
        )
        if self.model.published_generation:
            network.generation_config = copy.deepcopy(self.model.published_generation)
        return network

    def _rows(self, examples: Sequence[Example]) -> list[dict[str, Any]]:
        return [
            {
                "input_features": self.model.collate_audio([each], self.model.max_context_s)["input_features"][0],
                # what follows the first token of the prompt, which the network puts there itself
                "labels": torch.tensor([*self.model.prompt[1:], *each.labels]),
            }
            for each in examples
        ]

    def _measure(self, predicted: Any) -> dict[str, float]:
        tokens = torch.tensor(predicted.predictions)
        heard = self.model.tokenizer.batch_decode(
            tokens.where(tokens != IGNORED, self.model.end_token), skip_special_tokens=True
        )
        ids = [each.id for each in self.data.dev]
        references = [each.reference for each in self.data.dev]
        return {"wer": summarise(count_errors(ids, references, heard, self.normalise)).wer}


class _Count(TrainerCallback):
    """Counts what is trained on."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe

    def on_epoch_end(self, *given: Any, **also: Any) -> None:
        """One more time through the train split."""
        self._recipe.samples_trained += len(self._recipe.data.train)


def _suggest(trial: optuna.Trial, name: str, parameter: Parameter) -> Any:
    match parameter:
        case Constant(value):
            return trial.suggest_categorical(name, [value])
        case Categorical(values, None):
            return trial.suggest_categorical(name, values)
        case IntUniform(low, high):
            return trial.suggest_int(name, low, high)
        case Uniform(low, high):
            return trial.suggest_float(name, low, high)
        case LogUniform(low, high):
            return trial.suggest_float(name, low, high, log=True)
    raise TypeError(f"no comparison for {parameter!r}")


def _collate(rows: Sequence[Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    return {
        "input_features": torch.stack([row["input_features"] for row in rows]),
        "labels": torch.nn.utils.rnn.pad_sequence(
            [row["labels"] for row in rows], batch_first=True, padding_value=IGNORED
        ),
    }
