"""Confirm a sweep's best on speech that the sweep never saw: choose on one part, measure on another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from stt_tune.results.statistics import (
    Gain,
    Interval,
    TrainingNoise,
    compare,
    correct,
    find_noise,
    find_rate,
)

BASE_MODEL = "base model"  # what it is called in what is printed and written
DEFAULT, INCUMBENT, CANDIDATE = "default", "incumbent", "candidate"
ONE, SEPARATE, CROSS = "one candidate", "a separate part", "cross-fitting"
ENOUGH_BLOCKS = 6
_ENOUGH_FOR_PARTS = 400  # utterances; fewer are all needed to measure
_FOLDS = 5


@dataclass(frozen=True)
class System:
    """One configuration, trained anew a few times and measured on the held-out utterances.

    Attributes:
        role: `default`, `incumbent` or `candidate`.
        name: What it is called in what is printed.
        configuration: Its hyperparameters.
        errors: Wrong, missing and extra words, [trainings, utterances]; of trainings that did not diverge.
        diverged: How many trainings did.
        training_s: What one took, in seconds.
        promise: What dev said of it: the relative gain over the default; None where dev said nothing.
        refused: Why it cannot be chosen, whatever it gains; None: it can.
        facts: What else is to be recorded of it.
    """

    role: str
    name: str
    configuration: Mapping[str, Any]
    errors: np.ndarray
    diverged: int = 0
    training_s: float = 0.0
    promise: float | None = None
    refused: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def objection(self) -> str | None:
        """Why it cannot be chosen; None: it can."""
        if self.diverged:
            return f"diverged in {self.diverged} of {self.diverged + len(self.errors)} trainings"
        return self.refused


@dataclass(frozen=True)
class Measured:
    """A system, and what the held-out utterances say of it.

    Attributes:
        system: The system.
        wer: With its interval; None where every training diverged.
        gain: Over the reference, a candidate's p-value corrected for the number of candidates; None for
            the reference itself.
    """

    system: System
    wer: Interval | None
    gain: Gain | None

    def to_dict(self, words: np.ndarray, measured: np.ndarray, reference: System) -> dict[str, Any]:
        """As it stands in `optimal_config.json`.

        Args:
            words: Of the references, [utterances].
            measured: Which of the utterances count.
            reference: What training times are compared with.
        """
        by_seed = self.system.errors[:, measured].sum(axis=1) if len(self.system.errors) else []
        return {
            "role": self.system.role,
            "name": self.system.name,
            "hyperparameters": dict(self.system.configuration),
            "wer": self.wer.value if self.wer else None,
            "wer_interval": [self.wer.low, self.wer.high] if self.wer else None,
            "wer_by_seed": [float(errors / words[measured].sum()) for errors in by_seed],
            "diverged": self.system.diverged,
            "training_s": self.system.training_s,
            "training_change": self.system.training_s / reference.training_s - 1 if reference.training_s else None,
            **({"promised_gain": self.system.promise} if self.system.promise is not None else {}),
            **(_describe_gain(self.gain) if self.gain else {}),
            **({"objection": self.system.objection} if self.system.objection else {}),
            **self.system.facts,
        }


def _describe_gain(gain: Gain) -> dict[str, Any]:
    return {"relative_gain": gain.relative, "interval": [gain.low, gain.high], "p_value": gain.p_value}


@dataclass(frozen=True)
class Verdict:
    """What confirming found.

    Attributes:
        reference: What the chosen one is compared with: the incumbent, or else the default.
        chosen: The candidate that is best where candidates are chosen; None where none can be.
        wer: Of choosing so; of the reference, where none is chosen. On the same utterances as `gain`.
        gain: Of choosing so over the reference, on utterances that took no part in the choice; None
            where there is nothing to compare.
        is_better: Whether it is beyond chance, and as large as was asked for.
        how: How choosing and measuring were kept apart: `one candidate`, `a separate part` or `cross-fitting`.
        systems: All of them. Where candidates were chosen by cross-fitting, the chosen one's own figures
            flatter it.
        words: Of the references, [utterances].
        measured: Which utterances all this was measured on, as indices.
        blocks: How many blocks they are in.
        noise: Of training.
    """

    reference: Measured
    chosen: Measured | None
    wer: Interval | None
    gain: Gain | None
    is_better: bool
    how: str
    systems: list[Measured]
    words: np.ndarray
    measured: np.ndarray
    blocks: int
    noise: TrainingNoise

    def find(self, role: str) -> Measured | None:
        """The first system of that role."""
        return next((each for each in self.systems if each.system.role == role), None)


def choose_blocks(speakers: Sequence[str | None], sessions: Sequence[str | None]) -> tuple[np.ndarray, str]:
    """Say which utterances must be resampled together: a speaker's, else a session's, else each alone.

    Speakers and sessions count where all are known and there are at least six: fewer say nothing of
    others, however they are resampled.

    Returns:
        For each utterance the number of its block, from 0, and what blocks are: `speaker`, `session` or
        `utterance`.
    """
    for names, by in ((speakers, "speaker"), (sessions, "session")):
        if None not in names and len(set(names)) >= ENOUGH_BLOCKS:
            return np.unique(np.asarray(names, str), return_inverse=True)[1], by
    return np.arange(len(speakers)), "utterance"


def confirm(
    systems: Sequence[System], words: np.ndarray, blocks: np.ndarray, *, seed: int, min_gain: float = 0.0
) -> Verdict:
    """Choose the best candidate, and find out whether it is better than what there is.

    Where there are several candidates, no utterance takes part both in choosing one of them and in
    measuring what is gained by it: of 400 utterances on, in at least 12 blocks, one half is for the
    one and one for the other; fewer are divided in five, and each fifth is measured with what the
    others would choose.

    Args:
        systems: The default, the incumbent if there is one, and candidates.
        words: Of the references, [utterances].
        blocks: For each utterance the number of its block, from 0, which is not divided; at least two.
        seed: Of division and resampling.
        min_gain: The least relative gain that counts.

    Raises:
        ValueError: Every training of the default diverged, and of the incumbent, if there is one.
    """
    kept = [each for each in systems if each.role != CANDIDATE and len(each.errors)]
    if not kept:
        names = " and ".join(each.name for each in systems if each.role != CANDIDATE)
        raise ValueError(f"there is nothing to compare with: all trainings of the {names} diverged.")
    reference = max(kept, key=lambda each: each.role == INCUMBENT)
    candidates = [each for each in systems if _is_eligible(each)]
    noise = find_noise([each.errors for each in systems])
    how, parts = _divide(candidates, blocks, np.random.default_rng(seed))
    reported = np.concatenate([measured for _choosing, measured in parts])
    inner = renumber(blocks[reported])
    table = _tabulate(systems, reference, words, reported, inner, noise, seed)
    by_system = {id(each.system): each for each in table}
    best, wer, gain = None, by_system[id(reference)].wer, None
    if candidates:
        # what is kept is chosen on all that choosing may see
        all_choosing = np.unique(np.concatenate([choosing for choosing, _measured in parts]))
        best = _best(candidates, all_choosing)
        # one comparison, of what was chosen elsewhere: nothing to be corrected
        wer, gain = by_system[id(best)].wer, by_system[id(best)].gain
    if how == CROSS:
        after = np.concatenate([_best(candidates, part).errors[:, measured] for part, measured in parts], axis=1)
        wer = find_rate(after, words[reported], inner, noise=noise, seed=seed)
        gain = compare(reference.errors[:, reported], after, inner, noise=noise, seed=seed)
    corrected = _correct(table)
    return Verdict(
        reference=next(each for each in corrected if each.system is reference),
        chosen=next((each for each in corrected if each.system is best), None),
        wer=wer,
        gain=gain,
        is_better=gain is not None and gain.is_real and gain.relative > min_gain,
        how=how,
        systems=corrected,
        words=words,
        measured=reported,
        blocks=int(inner.max()) + 1,
        noise=noise,
    )


def _divide(
    candidates: Sequence[System], blocks: np.ndarray, rng: np.random.Generator
) -> tuple[str, list[tuple[np.ndarray, np.ndarray]]]:
    """Say how, and give pairs of what is chosen on and what is measured on, as indices of utterances."""
    everything = np.arange(len(blocks))
    if len(candidates) < 2:
        return ONE, [(everything, everything)]
    count = int(blocks.max()) + 1
    has_parts = len(blocks) >= _ENOUGH_FOR_PARTS and count >= 2 * ENOUGH_BLOCKS
    folds = 2 if has_parts else min(_FOLDS, count)
    fold = (rng.permutation(count) % folds)[blocks]
    if has_parts:
        return SEPARATE, [(everything[fold == 0], everything[fold == 1])]
    return CROSS, [(everything[fold != each], everything[fold == each]) for each in range(folds)]


def _best(candidates: Sequence[System], utterances: np.ndarray) -> System:
    return min(candidates, key=lambda each: each.errors[:, utterances].sum() / len(each.errors))


def _tabulate(
    systems: Sequence[System],
    reference: System,
    words: np.ndarray,
    utterances: np.ndarray,
    blocks: np.ndarray,
    noise: TrainingNoise,
    seed: int,
) -> list[Measured]:
    measured = []
    for each in systems:
        if not len(each.errors):
            measured.append(Measured(each, None, None))
            continue
        errors = each.errors[:, utterances]
        rate = find_rate(errors, words[utterances], blocks, noise=noise, seed=seed)
        gain = None
        if each is not reference:
            gain = compare(reference.errors[:, utterances], errors, blocks, noise=noise, seed=seed)
        measured.append(Measured(each, rate, gain))
    return measured


def _correct(table: Sequence[Measured]) -> list[Measured]:
    """Correct the candidates' p-values for their number."""
    corrected = list(table)
    gains = {i: each.gain for i, each in enumerate(table) if each.gain and _is_eligible(each.system)}
    for i, gain in zip(gains, correct(list(gains.values())), strict=True):
        corrected[i] = replace(corrected[i], gain=gain)
    return corrected


def _is_eligible(system: System) -> bool:
    return system.role == CANDIDATE and not system.objection


def renumber(blocks: np.ndarray) -> np.ndarray:
    """Number the blocks of some of all utterances anew, from 0."""
    numbers: np.ndarray = np.unique(blocks, return_inverse=True)[1]
    return numbers
