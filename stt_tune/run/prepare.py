"""Check a data set alone: what is in it, what is wrong with it, and how it divides; and prepare its features."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stt_tune.errors import SettingsError
from stt_tune.files import write_json, write_lines
from stt_tune.progress import say
from stt_tune.speech.clip import DatasetClip
from stt_tune.speech.inspection import telling_of_cache
from stt_tune.speech.kinds import find_kind
from stt_tune.speech.manifest import LONGEST_S, SPLITS, Rejected, Utterance, hash_data, read_sound
from stt_tune.speech.normalisers import Normalise, find_normaliser, load_normaliser
from stt_tune.speech.rates import KINDS
from stt_tune.speech.rows import check_there
from stt_tune.speech.splits import assign_splits, count_speakers, group_alike, set_apart_copies, warn_of_splits

if TYPE_CHECKING:
    from stt_tune.speech.families.base import SpeechModel

_MANIFEST, _REPORT, _REJECTED = "manifest.jsonl", "prepared.json", "rejected.jsonl"


@dataclass(frozen=True)
class DataReport:
    """What was found in a data set.

    Attributes:
        utterances: Good rows.
        hours: Of audio in them.
        shortest_s: Shortest clip.
        median_s: Of the clips' lengths.
        longest_s: Longest clip.
        speakers: Known ones.
        splits: Utterances in each split.
        split_speakers: Known speakers in each.
        split_by: `manifest`, `speaker`, `session` or `utterance`.
        kinds: Utterances of each kind of error; `none` without error, `unknown` without a hypothesis.
        same_audio: Utterances whose audio was there before.
        near_duplicates: Utterances whose audio or transcript was there before, nearly.
        rejected: Bad rows.
        lacking: Characters that the model cannot write, with how often each occurs.
        data_hash: Of ids, splits, transcripts and audio.
        warnings: What is too little to tell.
    """

    utterances: int
    hours: float
    shortest_s: float
    median_s: float
    longest_s: float
    speakers: int
    splits: Mapping[str, int]
    split_speakers: Mapping[str, int]
    split_by: str
    kinds: Mapping[str, int]
    same_audio: int
    near_duplicates: int
    rejected: int
    lacking: Mapping[str, int]
    data_hash: str
    warnings: Sequence[str]

    def to_dict(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return asdict(self)

    def describe(self) -> list[str]:
        """For people, a line for each thing."""
        lines = [
            f"{self.utterances} utterances, {self.hours:.2f} hours; clips of {self.shortest_s:.1f} to "
            f"{self.longest_s:.1f} s, median {self.median_s:.1f}",
            f"speakers: {self.speakers or 'not named'}",
            f"splits: {', '.join(map(self._describe_split, self.splits))}, by {self.split_by}",
            f"errors: {_list(self.kinds)}",
            f"duplicates: {self.same_audio} with the same audio, {self.near_duplicates} nearly the same",
            f"rejected: {self.rejected}",
        ]
        if self.lacking:
            lines.append(f"not in the model's vocabulary: {', '.join(f'{c!r} {n}' for c, n in self.lacking.items())}")
        return [*lines, *self.warnings]

    def _describe_split(self, name: str) -> str:
        count = self.split_speakers[name]
        return f"{self.splits[name]} {name}" + (f" ({count} speaker{'' if count == 1 else 's'})" if count else "")


@telling_of_cache()
def prepare_data(
    source: str,
    out: Path,
    *,
    model: str | None = None,
    skip_bad: bool = False,
    split: str | None = None,
    columns: Mapping[str, str] | None = None,
    normaliser: str = "auto",
    language: str = "en",
    seed: int = 0,
) -> DataReport:
    """Check a data set, divide it, and write it down as a manifest that is sound.

    Args:
        source: As `read_rows` takes it.
        out: Gets `manifest.jsonl` (good rows, with their splits and kinds of error), `prepared.json`
            (what was found) and, where there are bad rows, `rejected.jsonl`.
        model: What is to be trained: features are computed for it, and what it cannot take is refused.
        skip_bad: Whether bad rows are set aside instead of refused.
        split: Of a data set: only this one.
        columns: Our names of columns to the source's.
        normaliser: One of `NORMALISERS`.
        language: Whisper's code.
        seed: Of the division.

    Raises:
        SttTuneError: The data or the model cannot be used; all bad rows are told at once.
    """
    if (out / _MANIFEST).exists() and not (out / _REPORT).exists():
        raise SettingsError(
            f"--out {out}: must not hold a {_MANIFEST} of your own, which would be written over. Name another folder."
        )
    check_there(source)
    normalise = load_normaliser(find_normaliser(normaliser, language))
    loaded = _load(model, language) if model else None
    limits: dict[str, Any] = {"max_duration_s": LONGEST_S}
    if loaded:
        limits = {"max_duration_s": loaded.max_context_s, "find_misfit": loaded.find_misfit}
    utterances, rejected = read_sound(
        source, skip_bad=skip_bad, normalise=normalise, split=split, columns=columns, **limits
    )
    utterances, split_by = assign_splits(utterances, seed, normalise)
    utterances = set_apart_copies(utterances, skip=skip_bad)
    if loaded:
        from stt_tune.speech.features import prepare

        prepare(utterances, loaded, normalise)
    kinds = [find_kind(each, normalise) for each in utterances]
    report = _report(utterances, kinds, rejected, split_by, normalise, loaded)
    write_json(out / _REPORT, report.to_dict())
    _write(out, utterances, kinds, rejected)
    return report


def _load(model: str, language: str) -> SpeechModel:
    say(f"loading the model {model}")
    from stt_tune.speech.model import load_model

    return load_model(model, language=language)


def _write(
    out: Path, utterances: Sequence[Utterance], kinds: Sequence[str | None], rejected: Sequence[Rejected]
) -> None:
    rows = (_row(each, kind, out) for each, kind in zip(utterances, kinds, strict=True))
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    write_lines(out / _MANIFEST, lines)
    if rejected:
        write_lines(out / _REJECTED, [bad.to_json() for bad in rejected])
    else:  # those of data that have been mended since
        (out / _REJECTED).unlink(missing_ok=True)


def _row(utterance: Utterance, kind: str | None, out: Path) -> dict[str, Any]:
    """The utterance as a row of a manifest; audio that stood in the source's own row becomes a file."""
    clip = utterance.clip
    if isinstance(clip, DatasetClip):
        path = out / "audio" / f"{utterance.audio_hash[:16]}{Path(clip.name).suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        with clip.open() as file:
            path.write_bytes(file.read())
        location = str(path.absolute())
    else:
        location = clip.location
    offset_s, duration_s = utterance.part
    row = {
        "id": utterance.id,
        "audio": location,
        "text": utterance.text,
        "hypothesis": utterance.hypothesis,
        "speaker": utterance.speaker,
        "session": utterance.session,
        "error_type": kind,
        "split": utterance.split,
        **({"offset_s": offset_s} if offset_s or duration_s is not None else {}),
        "duration_s": utterance.duration_s if duration_s is None else duration_s,
    }
    return {name: value for name, value in row.items() if value is not None}


def _report(
    utterances: Sequence[Utterance],
    kinds: Sequence[str | None],
    rejected: Sequence[Rejected],
    split_by: str,
    normalise: Normalise,
    model: SpeechModel | None,
) -> DataReport:
    durations = [each.duration_s for each in utterances]
    splits = Counter(str(each.split) for each in utterances)
    counts = Counter(
        kind or ("none" if each.hypothesis is not None else "unknown")
        for each, kind in zip(utterances, kinds, strict=True)
    )
    lacking = model.find_unwritable([each.text for each in utterances]) if model else Counter[str]()
    return DataReport(
        utterances=len(utterances),
        hours=sum(durations) / 3600,
        shortest_s=min(durations),
        median_s=statistics.median(durations),
        longest_s=max(durations),
        speakers=count_speakers(utterances),
        splits={name: splits[name] for name in SPLITS},
        split_speakers={name: count_speakers([each for each in utterances if each.split == name]) for name in SPLITS},
        split_by=split_by,
        kinds={name: counts[name] for name in (*KINDS, "none", "unknown")},
        same_audio=len(utterances) - len({each.audio_hash for each in utterances}),
        near_duplicates=len(utterances) - len(set(group_alike(utterances, normalise))),
        rejected=len(rejected),
        lacking=dict(lacking.most_common()),
        data_hash=hash_data(utterances),
        warnings=warn_of_splits(utterances, normalise),
    )


def _list(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())
