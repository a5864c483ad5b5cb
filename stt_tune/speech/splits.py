"""Divide utterances into train, dev and test so that nothing leaks, where the manifest does not say."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from scipy.cluster.hierarchy import DisjointSet

from stt_tune.errors import ManifestError
from stt_tune.progress import say
from stt_tune.speech.example import Example
from stt_tune.speech.manifest import SPLITS, Utterance
from stt_tune.speech.normalisers import Normalise
from stt_tune.speech.rates import count_errors, summarise
from stt_tune.speech.unspaced import warn_of_unspaced

_SHARES = {"test": 0.2, "dev": 0.2, "train": 0.6}
_ENOUGH_GROUPS = 6
_GIVEN = "manifest"
_LEAST = {"train": 1, "dev": 1, "test": 2}  # one utterance has no interval
_LONG = 5  # words; shorter transcripts that differ by one are not the same
_LARGEST = 0.1  # of the data: a group beyond it is a pattern of speech, not one sentence said again
_TOLD = 5
_FEW = 3  # as many may always be joined
_NEAR, _EXACT = 1, 2  # what members of larger groups are not joined by, one after the other
_TYPICAL_WER = 0.2
# Errors come in clusters, so the words of a split tell less than so many coin tosses would.
_CLUSTERING = 2.0
_TELLS_APART = 0.05  # relative difference of two WERs


def assign_splits(utterances: list[Utterance], seed: int, normalise: Normalise) -> tuple[list[Utterance], str]:
    """Give every utterance a split.

    The manifest's own splits are kept. Without any, whole speakers go to one split each (at least 6
    of them, known for every row), or whole sessions (likewise); else utterances do, those with the
    same audio or nearly the same transcript together. 60 % train, 20 % dev, 20 % test.

    Args:
        utterances: All of them.
        seed: Of the division.
        normalise: Tells which transcripts are the same.

    Returns:
        The utterances in their order, and how they were split: `manifest`, `speaker`, `session` or
        `utterance`.

    Raises:
        ManifestError: Only some rows name a split, or a split would hold too few.
    """
    named = sum(utterance.split is not None for utterance in utterances)
    if 0 < named < len(utterances):
        missing = next(utterance.id for utterance in utterances if utterance.split is None)
        raise ManifestError(
            f"split must be given for all rows or for none, found {named} of {len(utterances)} "
            f"({missing} has none). Fill it in or remove it."
        )
    if named:
        split_by = _GIVEN
    else:
        groups, split_by = _group(utterances, normalise)
        utterances = _divide(utterances, groups, np.random.default_rng(seed))
    check_sizes(utterances, split_by)
    return utterances, split_by


def set_apart_copies(utterances: list[Utterance], *, skip: bool) -> list[Utterance]:
    """Leave out utterances whose audio is also in a split that measures: what is trained on is not to be measured.

    Args:
        utterances: Each of them has a split.
        skip: Whether such copies are left out; otherwise they are refused.

    Returns:
        The others. Of audio in several splits, that in test stays, else that in dev.

    Raises:
        ManifestError: There are copies, and they are not to be skipped.
    """
    strictest: dict[str, Utterance] = {}
    for utterance in sorted(utterances, key=lambda each: SPLITS.index(str(each.split))):
        strictest[utterance.audio_hash] = utterance
    copies = [each for each in utterances if each.split != strictest[each.audio_hash].split]
    if not copies:
        return utterances
    told = ", ".join(
        f"{each.id} ({each.split}) is {strictest[each.audio_hash].id} ({strictest[each.audio_hash].split})"
        for each in copies[:_TOLD]
    )
    if len(copies) > _TOLD:
        told += f" and {len(copies) - _TOLD} more"
    if not skip:
        raise ManifestError(
            f"the same audio must not be in two splits, and {len(copies)} utterances are: {told}. Give the copies one "
            "split, remove them, or leave them out with --skip-bad."
        )
    say(f"left out, as the same audio is in another split: {told}")
    left_out = {each.id for each in copies}
    kept = [each for each in utterances if each.id not in left_out]
    check_sizes(kept, "what is left")
    return kept


def check_sizes(utterances: Sequence[Utterance], split_by: str) -> None:
    """Make sure that every split can do what it is for.

    Raises:
        ManifestError: One holds too few.
    """
    counts = Counter(utterance.split for utterance in utterances)
    if any(counts[split] < least for split, least in _LEAST.items()):
        found = ", ".join(f"{counts[split]} {split}" for split in SPLITS)
        raise ManifestError(
            f"there must be at least 1 train, 1 dev and 2 test utterances, found {found} (split by {split_by}). "
            f"Add rows{', or remove every split to let the tool divide them' if split_by == _GIVEN else ''}."
        )


def _group(utterances: Sequence[Utterance], normalise: Normalise) -> tuple[list[str], str]:
    """What must stay together has the same name."""
    for by in ("speaker", "session"):
        names = [getattr(utterance, by) for utterance in utterances]
        if None in names or len(set(names)) < _ENOUGH_GROUPS:
            continue
        joined = _join_by_audio(utterances, names)
        if len(set(joined)) >= _ENOUGH_GROUPS:
            return joined, by
        say(
            f"not divided by {by}: with those together that share audio, {len(set(joined))} of {len(set(names))} are "
            f"left, and it takes {_ENOUGH_GROUPS}"
        )
    groups, given_up = _find_alike(utterances, normalise)
    if given_up:
        say(_tell_given_up(utterances, given_up))
    return groups, "utterance"


def _join_by_audio(utterances: Sequence[Utterance], names: Sequence[str]) -> list[str]:
    """Give those who share audio one name: the same clip may be listed under two of them."""
    marks = ((hash(("name", name)), _mark_audio(each)) for each, name in zip(utterances, names, strict=True))
    return [names[i] for i in _join(marks)]


def group_alike(utterances: Sequence[Utterance], normalise: Normalise) -> list[str]:
    """For every utterance, the id of the first one that has the same audio or nearly the same transcript.

    Nearly the same: equal after `normalise`, or, from 5 words on, but for one word. Of those whom that
    would join to over a tenth of the data, only equal ones are joined, as with commands of one pattern;
    of those whom even that would, as with a "yes" that is said all the time, only the same audio is.
    """
    return _find_alike(utterances, normalise)[0]


def _find_alike(utterances: Sequence[Utterance], normalise: Normalise) -> tuple[list[str], Counter[int]]:
    """The groups, and where an utterance is not joined by what it may be: `_NEAR`, or `_EXACT` either."""
    texts = [normalise(utterance.text) for utterance in utterances]
    given_up: Counter[int] = Counter()

    def mark(i: int) -> Iterator[int]:
        yield _mark_audio(utterances[i])
        if given_up[i] < _EXACT:
            yield hash(("text", texts[i]))
        if given_up[i] < _NEAR:
            yield from _leave_out_one(texts[i])

    while True:
        groups = _join(mark(i) for i in range(len(texts)))
        sizes = Counter(groups)
        most = max(_LARGEST * len(utterances), _FEW)
        large = [i for i, group in enumerate(groups) if sizes[group] > most and given_up[i] < _EXACT]
        if not large:
            return [utterances[i].id for i in groups], given_up
        given_up.update(large)


def _tell_given_up(utterances: Sequence[Utterance], given_up: Mapping[int, int]) -> str:
    """Say which utterances may have their like in another split."""
    told = []
    for level, alike in ((_EXACT, "the same"), (_NEAR, "nearly the same")):
        these = [i for i in sorted(given_up) if given_up[i] == level]
        if these:
            told.append(f"{len(these)} have {alike} transcript as others (such as {utterances[these[0]].text!r})")
    return (
        f"not kept in one split, as they are over a tenth of the data together: {'; '.join(told)}. What is trained on "
        "and what is measured share them."
    )


def _mark_audio(utterance: Utterance) -> int:
    return hash(("audio", utterance.audio_hash))


def _leave_out_one(text: str) -> Iterator[int]:
    words = text.split()
    if len(words) >= _LONG:
        for i in range(len(words)):
            yield hash(("text", " ".join((*words[:i], *words[i + 1 :]))))


def _join(marks: Iterable[Iterable[int]]) -> list[int]:
    """For every place, the first one that it shares a mark with, directly or through others."""
    sets = DisjointSet()
    first: dict[int, int] = {}
    count = 0
    for i, these in enumerate(marks):
        sets.add(i)
        count += 1
        for mark in these:
            sets.merge(first.setdefault(mark, i), i)
    roots: dict[int, int] = {}
    return [roots.setdefault(sets[i], i) for i in range(count)]


def _divide(utterances: list[Utterance], names: Sequence[str], rng: np.random.Generator) -> list[Utterance]:
    groups: dict[str, list[int]] = defaultdict(list)
    for index, name in enumerate(names):
        groups[name].append(index)
    assigned: dict[int, str] = {}
    counts: Counter[str] = Counter()
    shuffled = [sorted(groups)[i] for i in rng.permutation(len(groups))]
    # a speaker who fills a split alone is to be trained on
    large = [group for group in shuffled if len(groups[group]) > _SHARES["dev"] * len(utterances)]
    for group in large:
        counts["train"] += len(groups[group])
        assigned |= dict.fromkeys(groups[group], "train")
    for group in shuffled:
        if group in large:
            continue
        # the split that lacks most utterances, so that large groups come where there is room for them
        split = max(_SHARES, key=lambda each: _SHARES[each] * len(utterances) - counts[each])
        counts[split] += len(groups[group])
        assigned |= dict.fromkeys(groups[group], split)
    return [replace(utterance, split=assigned[i]) for i, utterance in enumerate(utterances)]


def count_speakers(utterances: Iterable[Utterance | Example]) -> int:
    """How many are known."""
    return len({each.speaker for each in utterances} - {None})


def warn_of_splits(utterances: Sequence[Utterance], normalise: Normalise) -> list[str]:
    """Say what utterances, divided, are too few to tell, and what their WER cannot."""
    parts = {split: [each for each in utterances if each.split == split] for split in ("dev", "test")}
    warnings = [warn_of_small(split, *_expect(part, normalise)) for split, part in parts.items()]
    warnings += [_warn_of_few_speakers(parts["test"]), warn_of_unspaced([normalise(each.text) for each in utterances])]
    return [warning for warning in warnings if warning]


def _expect(utterances: Sequence[Utterance], normalise: Normalise) -> tuple[int, int, float | None]:
    """How many, words of the references, and the WER of what the production system heard, where that is known."""
    heard = [each for each in utterances if each.hypothesis is not None]
    errors = count_errors(
        [each.id for each in heard],
        [each.text for each in heard],
        [each.hypothesis or "" for each in heard],
        normalise,
    )
    words = sum(len(normalise(each.text).split()) for each in utterances)
    return len(utterances), words, summarise(errors).wer if errors else None


def warn_of_small(split: str, utterances: int, words: int, wer: float | None) -> str | None:
    """Say what a split of so many words cannot tell apart; None where it tells 5 % apart.

    Args:
        split: `dev` or `test`.
        utterances: In it.
        words: Of its references.
        wer: What is expected; None: 0.2.
    """
    wer = min(wer or _TYPICAL_WER, 0.5)  # the variance is greatest there
    half_width = 1.96 * math.sqrt(_CLUSTERING * wer * (1 - wer) / words)
    if half_width <= _TELLS_APART * wer:
        return None
    needed = math.ceil(_CLUSTERING * (1.96 / _TELLS_APART) ** 2 * (1 - wer) / wer)
    until = {
        "dev": "until then trust the held-out interval, not the order of trials",
        "test": "until then only large gains can be confirmed",
    }[split]
    return (
        f"{split} is small: with its {words} words, a WER of {wer:.2f} is known to about {half_width:.3f} (95 %), "
        f"which is {half_width / wer:.0%} of it. To tell 5 % apart takes about {needed} words, "
        f"{math.ceil(needed / words * utterances)} such utterances; {until}."
    )


def _warn_of_few_speakers(test: Sequence[Utterance]) -> str | None:
    """Say whom the results will hold for, where test has too few speakers to stand for others; None where not."""
    speakers = count_speakers(test)
    if not 0 < speakers < _ENOUGH_GROUPS:
        return None
    return (
        f"test has {speakers} of the speakers: its results will hold for them, and say nothing of others. It "
        f"takes at least {_ENOUGH_GROUPS}: collect cases of more people, or divide the data yourself (column `split`)."
    )
