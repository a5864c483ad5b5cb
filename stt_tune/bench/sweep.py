"""A whole small sweep against the one that people would write without this tool, on the same data."""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, cast

import yaml

from stt_tune.bench.recipe import Recipe
from stt_tune.demo import DEMO_SWEEP, build_demo_settings
from stt_tune.demo.corpus import CorpusSize
from stt_tune.errors import SettingsError
from stt_tune.progress import say
from stt_tune.run.anew import train_anew
from stt_tune.run.cluster import connect, find_resources
from stt_tune.run.settings import TuneSettings
from stt_tune.run.speech_trial import SpeechTask, build_train
from stt_tune.run.sweep import run_sweep
from stt_tune.run.tune import load_prepared
from stt_tune.speech.decode import measure_at_full_context
from stt_tune.speech.families.seq2seq import Seq2SeqModel
from stt_tune.speech.normalisers import load_normaliser
from stt_tune.speech.rates import summarise
from stt_tune.sweep.config import SweepConfig

# so that the peer takes 10 to 15 minutes on two cores
_SIZE = CorpusSize(train=32, dev=16, test=48)


def bench_sweep(trials: int, seed: int) -> dict[str, Any]:
    """Run both sweeps, one after the other, and measure what each chose on held-out speech.

    A sweep is timed from its start to its best configuration, with all that it starts; model and features
    are there already. Then each trains its choice once more, by its own recipe and not timed, which is
    measured at the model's full context.

    Args:
        trials: Of each of the two.
        seed: Of speech, configurations and training.

    Returns:
        `speedup`, and for `ours` and `peer`: `seconds`, `samples_trained` (utterances, each time counted),
        `dev_wer` (by which the configuration was chosen), `test_wer` and `chosen`.

    Raises:
        SettingsError: There are fewer than 2 trials.
    """
    if trials < 2:
        raise SettingsError(f"--trials must be at least 2, found {trials}.")
    settings = build_demo_settings(trials=trials, seed=seed, size=_SIZE)
    task = load_prepared(settings).task
    sweep = SweepConfig.from_dict({**yaml.safe_load(DEMO_SWEEP.read_text(encoding="utf-8")), "method": "bayes"})
    ours = _run_ours(task, sweep, settings)
    peer = _run_peer(task, sweep, settings)
    return {"speedup": peer["seconds"] / ours["seconds"], "ours": ours, "peer": peer, "trials": trials}


def _run_ours(task: SpeechTask, sweep: SweepConfig, settings: TuneSettings) -> dict[str, Any]:
    say("ours:")
    with tempfile.TemporaryDirectory(prefix="stt_tune-") as folder:
        begun = time.monotonic()
        with connect(None):
            resources = find_resources(max_concurrent=settings.max_concurrent)
            result = run_sweep(
                sweep,
                build_train(task, resources, sweep.metric.name),
                num_trials=settings.trials,
                seed=settings.seed,
                storage_path=Path(folder, "run"),
                max_concurrent_trials=resources.max_concurrent,
                resources_per_trial={"cpu": resources.cpus},
                default=settings.default_configuration(sweep.parameters),
            )
            seconds = time.monotonic() - begun
            best = result.best_trial
            store = Path(folder, "anew")
            store.mkdir()
            ((training,),) = train_anew(task, [best.configuration], [settings.seed], resources, store, "bench")
    return {
        "seconds": seconds,
        "samples_trained": len(task.data.train) * sum(trial.last_epoch for trial in result.table.trials),
        "dev_wer": best.last(sweep.metric.name),
        "test_wer": summarise(training.test).wer,
        "chosen": best.configuration,
    }


def _run_peer(task: SpeechTask, sweep: SweepConfig, settings: TuneSettings) -> dict[str, Any]:
    say("the usual recipe:")
    normalise = load_normaliser(task.settings.normaliser)
    recipe = Recipe(cast("Seq2SeqModel", task.model), task.data, sweep, normalise, settings.seed)
    begun = time.monotonic()
    with contextlib.redirect_stdout(sys.stderr):  # transformers prints its trainer's figures
        chosen, dev_wer = recipe.search(settings.trials or 0)
        seconds, samples_trained = time.monotonic() - begun, recipe.samples_trained
        network = recipe.train(chosen)
    heard = measure_at_full_context(network, task.data.test, task.model, task.settings.normaliser)
    return {
        "seconds": seconds,
        "samples_trained": samples_trained,
        "dev_wer": dev_wer,
        "test_wer": summarise(heard).wer,
        "chosen": chosen,
    }
