"""Export a finished run's optimal config, with configurations for single kinds of error where they pay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stt_tune.errors import SettingsError, SweepFailedError
from stt_tune.progress import say
from stt_tune.results.optimal_config import read_document, save_optimal_config
from stt_tune.results.statistics import Gain, paired_gain
from stt_tune.results.trials import COMPLETED, Trial, TrialTable
from stt_tune.run.cluster import connect, find_resources
from stt_tune.run.folder import SETTINGS, RunFolder
from stt_tune.run.settings import TuneSettings
from stt_tune.run.tune import check_same_data, load_prepared
from stt_tune.speech.rates import KINDS, UtteranceErrors, summarise
from stt_tune.speech.report import METRICS

if TYPE_CHECKING:
    from stt_tune.run.data import PreparedSpeech

_LEAST_CASES = 2  # one has no interval


@dataclass(frozen=True)
class KindResult:
    """What one kind of error gains from a configuration of its own.

    Attributes:
        kind: One of `KINDS`.
        cases: Test cases of it.
        trial: The completed trial that is best on dev's cases of it, where that is not the general
            configuration's.
        wer: That configuration's on the test cases, trained anew.
        general_wer: The general configuration's, trained with the same seed.
        gain: Relative, with its interval; None where there is nothing to compare.
    """

    kind: str
    cases: int
    trial: Trial | None = None
    wer: float | None = None
    general_wer: float | None = None
    gain: Gain | None = None

    @property
    def is_better(self) -> bool:
        """Whether the own configuration is better beyond chance."""
        return self.gain is not None and self.gain.is_real

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
            "utterances": self.cases,
        }


def export(run_dir: Path, out: Path, *, per_error_type: bool) -> tuple[dict[str, Any], list[KindResult]]:
    """Write a finished run's `optimal_config.json` to `out`.

    Args:
        run_dir: The run folder.
        out: The file.
        per_error_type: Whether to look for configurations that do better on one kind of error than the
            general one: for each kind, the trial that is best on dev's cases of it and the general
            configuration are trained anew with a fresh seed and compared on the test cases of it.
            The intervals of all kinds hold together with 95 %.

    Returns:
        What was written, and what was found for each kind.

    Raises:
        SettingsError: The folder holds no finished run of `stt-tune tune`.
        SttTuneError: Model or data cannot be used any more, or training failed.
    """
    folder = RunFolder.existing(run_dir)
    run = folder.read_run()
    if SETTINGS not in run or not folder.optimal_config.exists():
        raise SettingsError(f"{run_dir}: must be a finished run of stt-tune tune.\n{folder.how_to_go_on()}")
    document = read_document(folder.optimal_config)
    results: list[KindResult] = []
    if per_error_type:
        settings = TuneSettings.from_dict(run[SETTINGS])
        speech = load_prepared(settings)
        check_same_data(run_dir, run, settings, speech)
        results = _compare_kinds(folder, settings, speech, document["hyperparameters"])
        better = {result.kind: result.to_dict() for result in results if result.is_better}
        document = {**document, "by_error_type": better}
    save_optimal_config(out, document)
    return document, results


def _compare_kinds(
    folder: RunFolder, settings: TuneSettings, speech: PreparedSpeech, general: Mapping[str, Any]
) -> list[KindResult]:
    chosen = _choose(folder.read_table(METRICS), general)
    from stt_tune.run.labels import select_cases
    from stt_tune.run.speech_trial import train_and_test

    with connect(settings.address):
        resources = find_resources(max_concurrent=settings.max_concurrent, per_trial=settings.resources_per_trial)
        task = select_cases(speech.task, resources, "test", settings.only_error_type)
        kinds = [example.kind for example in task.data.test]
        chosen = {kind: trial for kind, trial in chosen.items() if kinds.count(kind) >= _LEAST_CASES}
        if not chosen:
            return [KindResult(kind, kinds.count(kind)) for kind in KINDS]
        configurations = [dict(general), *(dict(trial.configuration) for trial in chosen.values())]
        unique = [each for i, each in enumerate(configurations) if each not in configurations[:i]]
        say(f"training the general configuration and {len(unique) - 1} others anew with another seed")
        measured = train_and_test(task, unique, resources, settings.seed + 1)
    by_configuration = dict(zip(map(repr, unique), measured, strict=True))
    before = by_configuration[repr(dict(general))]
    if before is None:
        raise SweepFailedError(
            "the general configuration diverged when trained anew: there is nothing to compare with."
        )
    results = []
    for kind in KINDS:
        trial = chosen.get(kind)
        after = by_configuration[repr(dict(trial.configuration))] if trial else None
        results.append(_compare(kind, kinds, trial, before, after, settings.seed, len(chosen)))
    return results


def _choose(table: TrialTable, general: Mapping[str, Any]) -> dict[str, Trial]:
    """For each kind, the completed trial that is best on it, unless that has the general configuration."""
    chosen = {}
    for kind in KINDS:
        done = [trial for trial in table.trials if trial.status == COMPLETED and trial.values(f"wer_{kind}")]
        best = min(done, key=lambda trial: trial.last(f"wer_{kind}"), default=None)
        if best is not None and dict(best.configuration) != dict(general):
            chosen[kind] = best
    return chosen


def _compare(
    kind: str,
    kinds: list[str | None],
    trial: Trial | None,
    before: list[UtteranceErrors],
    after: list[UtteranceErrors] | None,
    seed: int,
    comparisons: int,
) -> KindResult:
    cases = [i for i, each in enumerate(kinds) if each == kind]
    if trial is None or after is None:
        return KindResult(kind, len(cases))
    general, own = [before[i] for i in cases], [after[i] for i in cases]
    return KindResult(
        kind=kind,
        cases=len(cases),
        trial=trial,
        wer=summarise(own).wer,
        general_wer=summarise(general).wer,
        gain=paired_gain(
            [each.errors for each in general], [each.errors for each in own], seed, comparisons=comparisons
        ),
    )


def describe_kinds(results: list[KindResult]) -> list[str]:
    """One line for each kind: whether a configuration of its own pays."""
    lines = []
    for each in results:
        where = f"{each.kind} ({each.cases} test cases)"
        if each.gain is None or each.trial is None:
            lines.append(f"{where}: no other configuration to compare, the general one stays.")
            continue
        figures = (
            f"trial {each.trial.number} WER {each.wer:.4f}, general {each.general_wer:.4f}, relative gain "
            f"{each.gain.relative:+.1%} (interval {each.gain.low:+.1%} to {each.gain.high:+.1%})"
        )
        verdict = "its own configuration" if each.is_better else "not beyond chance, the general one stays"
        lines.append(f"{where}: {figures}: {verdict}.")
    return lines
