"""Export a finished run's optimal config, with configurations for single kinds of error where they pay."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stt_tune.errors import SweepFailedError
from stt_tune.results.optimal_config import publish, read_optimal_config, update_config
from stt_tune.results.statistics import Gain, compare, correct, find_noise
from stt_tune.results.trials import COMPLETED, Trial, TrialTable
from stt_tune.run.cluster import connect, find_resources
from stt_tune.run.earlier import check_same_data, opened_finished, remember_data
from stt_tune.run.folder import RunFolder
from stt_tune.run.guard import find_objection, find_rise
from stt_tune.run.measures import count_words, find_blocks, tabulate_errors
from stt_tune.run.settings import TuneSettings
from stt_tune.run.showing import show_result
from stt_tune.run.tune import LIGHT_TRAININGS, load_prepared
from stt_tune.speech.rates import KINDS
from stt_tune.speech.report import METRICS
from stt_tune.storage import as_path, is_url

if TYPE_CHECKING:
    from stt_tune.run.anew import Training
    from stt_tune.run.data import PreparedSpeech
    from stt_tune.speech.example import Example

_LEAST_CASES = 2  # one has no interval


@dataclass(frozen=True)
class KindResult:
    """What one kind of error gains from a configuration of its own.

    Attributes:
        kind: One of `KINDS`.
        cases: Test cases of it.
        trial: The completed trial that is best on dev's cases of it, where that is not the general
            configuration's.
        wer: That configuration's on the test cases, trained anew; None where it diverged.
        general_wer: The general configuration's, trained with the same seeds.
        gain: Relative, with its interval; None where there is nothing to compare, or it diverged.
        objection: Why it cannot be taken, whatever it gains.
    """

    kind: str
    cases: int
    trial: Trial | None = None
    wer: float | None = None
    general_wer: float | None = None
    gain: Gain | None = None
    objection: str | None = None

    @property
    def is_better(self) -> bool:
        """Whether the own configuration is better beyond chance, and may be taken."""
        return self.gain is not None and self.gain.is_real and self.objection is None

    def to_dict(self) -> dict[str, Any]:
        """As it stands in `by_error_type`."""
        trial: Any = self.trial
        gain: Any = self.gain
        return {
            "hyperparameters": dict(trial.configuration),
            "trial_id": trial.trial_id,
            "number": trial.number,
            "wer": self.wer,
            "general_wer": self.general_wer,
            "relative_gain": gain.relative,
            "interval": [gain.low, gain.high],
            "p_value": gain.p_value,
            "utterances": self.cases,
        }


def export(
    run_dir: str | Path, out: str, *, per_error_type: bool, **given: Any
) -> tuple[dict[str, Any], list[KindResult]]:
    """Write a finished run's `optimal_config.json` to `out`.

    Args:
        run_dir: The run folder, a path or a URL.
        out: A path or a URL. What stands there goes into the `history` of the new one.
        per_error_type: Whether to look for configurations that do better on one kind of error than the
            general one: for each kind, the trial that is best on dev's cases of it and the general
            configuration are trained anew with fresh seeds and compared on the test cases of it.
            Intervals and tests of all kinds hold together. What the run's guard refuses is refused here, too.
        **given: Fields of `TuneSettings` that are others than then, such as `data` or `address`.

    Returns:
        What was written, and what was found for each kind.

    Raises:
        SettingsError: The folder holds no finished run of `stt-tune tune`.
        SttTuneError: Model or data cannot be used any more, training failed, or `out` cannot be written.
    """
    with opened_finished(run_dir, **given) as (folder, settings):
        return _export(folder, settings, out, per_error_type=per_error_type)


def _export(
    folder: RunFolder, settings: TuneSettings, out: str, *, per_error_type: bool
) -> tuple[dict[str, Any], list[KindResult]]:
    document = read_optimal_config(folder.optimal_config)
    results: list[KindResult] = []
    if per_error_type:
        speech = load_prepared(settings)
        check_same_data(folder.location, folder.read_run(), settings, speech)
        results = _compare_kinds(folder, settings, speech, document["hyperparameters"])
        better = {result.kind: result.to_dict() for result in results if result.is_better}
        document = update_config(folder.optimal_config, lambda before: {**before, "by_error_type": better})
        show_result(folder)
    own = folder.share(folder.optimal_config)
    if out != own and (is_url(out) or Path(as_path(out)).resolve() != Path(own).resolve()):
        publish(document, out)
    return document, results


def _compare_kinds(
    folder: RunFolder, settings: TuneSettings, speech: PreparedSpeech, general: Mapping[str, Any]
) -> list[KindResult]:
    complete = settings.complete_configuration
    general = complete(general)
    chosen = _choose(folder.read_table(METRICS), lambda trial: complete(trial.configuration) != general)
    from stt_tune.run.anew import measure_base, train_anew
    from stt_tune.run.labels import select_cases

    with folder.written(), folder.locked(), connect(settings.address, insecure=settings.insecure_cluster):
        remember_data(folder, settings)
        resources = find_resources(max_concurrent=settings.max_concurrent, per_trial=settings.resources_per_trial)
        task = select_cases(speech.task, resources, "test", settings.only_error_type)
        kinds = [example.kind for example in task.data.test]
        chosen = {kind: trial for kind, trial in chosen.items() if kinds.count(kind) >= _LEAST_CASES}
        if not chosen:
            return [KindResult(kind, kinds.count(kind)) for kind in KINDS]
        own = {kind: complete(trial.configuration) for kind, trial in chosen.items()}
        configurations = [general, *own.values()]
        unique = [each for i, each in enumerate(configurations) if each not in configurations[:i]]
        seeds, data = settings.fresh_seeds(LIGHT_TRAININGS), folder.data_name(speech.beside_hash)
        guarded = measure_base(task, resources, folder.confirm, data).guard if task.data.guard else []
        trained = train_anew(task, unique, seeds, resources, folder.confirm, data)

    of_kind = {kind: trained[unique.index(configuration)] for kind, configuration in own.items()}

    def object_to(kind: str) -> str | None:
        forgot = [each.guard for each in of_kind[kind]]
        return find_objection(find_rise(guarded, forgot, task.data.guard, settings.seed), settings.guard_tolerance)

    before = _count(trained[0])
    if before is None:
        raise SweepFailedError(
            "the general configuration diverged when trained anew: there is nothing to compare with."
        )
    after = {kind: _count(trainings) for kind, trainings in of_kind.items()}
    words = count_words(trained[0][0].test)
    results = judge_kinds(task.data.test, words, chosen, before, after, settings.seed)
    return [replace(each, objection=object_to(each.kind)) if guarded and each.gain else each for each in results]


def _count(trainings: Sequence[Training]) -> np.ndarray | None:
    """Errors, [trainings, utterances]; None where one of them diverged."""
    if any(each.diverged for each in trainings):
        return None
    return tabulate_errors([each.test for each in trainings])


def _choose(table: TrialTable, is_other: Callable[[Trial], bool]) -> dict[str, Trial]:
    """For each kind, the completed trial that is best on it, unless that has the general configuration."""
    chosen = {}
    for kind in KINDS:
        done = [trial for trial in table.trials if trial.status == COMPLETED and trial.values(f"wer_{kind}")]
        best = min(done, key=lambda trial: trial.last(f"wer_{kind}"), default=None)
        if best is not None and is_other(best):
            chosen[kind] = best
    return chosen


def judge_kinds(
    examples: Sequence[Example],
    words: np.ndarray,
    chosen: Mapping[str, Trial],
    before: np.ndarray,
    after: Mapping[str, np.ndarray | None],
    seed: int,
) -> list[KindResult]:
    """Compare, for each kind, the configuration chosen for it with the general one on the test cases of it.

    Args:
        examples: The test split.
        words: Of their references.
        chosen: The trial for each kind that has one.
        before: The general configuration's errors, [trainings, utterances].
        after: Those of each kind's own; None where a training of it diverged.
        seed: Of resampling.
    """
    results = []
    for kind in KINDS:
        cases = [i for i, each in enumerate(examples) if each.kind == kind]
        own = after.get(kind)
        if own is None:
            results.append(KindResult(kind, len(cases), chosen[kind] if kind in after else None))
            continue
        blocks, _are = find_blocks([examples[i] for i in cases])
        noise = find_noise([before[:, cases], own[:, cases]])
        gain = compare(before[:, cases], own[:, cases], blocks, noise=noise, seed=seed, comparisons=len(after))
        wer, general_wer = (float(errors[:, cases].sum(axis=1).mean() / words[cases].sum()) for errors in (own, before))
        results.append(KindResult(kind, len(cases), chosen[kind], wer, general_wer, gain))
    corrected = iter(correct([each.gain for each in results if each.gain]))
    return [replace(each, gain=next(corrected)) if each.gain else each for each in results]


def describe_kinds(results: list[KindResult]) -> list[str]:
    """One line for each kind: whether a configuration of its own pays."""
    lines = []
    for each in results:
        where = f"{each.kind} ({each.cases} test cases)"
        if each.trial is None:
            lines.append(f"{where}: no other configuration to compare, the general one stays.")
            continue
        if each.gain is None:
            lines.append(f"{where}: trial {each.trial.number} diverged when trained anew, the general one stays.")
            continue
        figures = (
            f"trial {each.trial.number} WER {each.wer:.4f}, general {each.general_wer:.4f}, relative gain "
            f"{each.gain.relative:+.1%} (interval {each.gain.low:+.1%} to {each.gain.high:+.1%})"
        )
        stays = f"{each.objection or 'not beyond chance'}, the general one stays"
        verdict = "its own configuration" if each.is_better else stays
        lines.append(f"{where}: {figures}: {verdict}.")
    return lines
