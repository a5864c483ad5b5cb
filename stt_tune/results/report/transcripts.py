"""What was heard before tuning and after it."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from stt_tune.results.report.record import RunRecord

_TYPES = ("substitutions", "pronunciations", "deletions", "insertions")
_ERRORS = ["substitutions", "deletions", "insertions"]


@dataclass(frozen=True)
class Heard:
    """The same utterances as two systems heard them.

    Attributes:
        before: One row an utterance and training, as `load_utterances` gives it; None: there is but one system.
        after: The same of the better one on dev.
        names: What the two are called.
        where: Which utterances these are.
    """

    before: pd.DataFrame | None
    after: pd.DataFrame
    names: tuple[str, str]
    where: str

    @property
    def systems(self) -> list[tuple[str, pd.DataFrame]]:
        """Names with frames, before and after."""
        pairs = zip(self.names, (self.before, self.after), strict=True)
        return [(name, frame) for name, frame in pairs if frame is not None]


def find_heard(record: RunRecord) -> Heard | None:
    """Held-out speech where it was measured, else dev; None where nobody kept what was heard."""
    held_out = (record.optimal or {}).get("held_out")
    if held_out and record.heard is not None:
        frames = {str(name): frame for name, frame in record.heard.groupby("system", sort=False)}
        roles = {each["name"]: each["role"] for each in held_out["systems"]}
        first = next((name for name in frames if roles.get(name) == held_out["compared_with"]), None)
        winner = f"trial {((record.optimal or {}).get('winner') or {}).get('number')}"
        candidates = [name for name in frames if roles.get(name) == "candidate"]
        last = winner if winner in candidates else next(iter(candidates), None)
        if first and last:
            return Heard(frames[first], frames[last], (first, last), "held-out speech")
        if first:
            return Heard(None, frames[first], ("", first), "held-out speech")
    best, default = record.best, record.default
    after, before = record.heard_on_dev(best), record.heard_on_dev(default)
    if best is None or after is None:
        return None
    is_one = best.is_default or before is None
    name = "default" if best.is_default else f"trial {best.number}"
    return Heard(None if is_one else before, after, ("default", name), "dev, which chose the winner")


def find_wer(frame: pd.DataFrame) -> float:
    """Wrong, missing and extra words per word of the references."""
    words = frame["words"].sum()
    return float(frame[_ERRORS].to_numpy().sum() / words) if words else float("nan")


def tabulate_types(heard: Heard) -> pd.DataFrame:
    """Columns `group` (what kind of error), `system`, `rate` (errors per word of the references)."""
    rows = []
    for name, frame in heard.systems:
        words = frame["words"].sum() or 1
        counts = {each: int(frame[each].sum()) for each in _TYPES}
        for group, count in (
            ("wrong words", counts["substitutions"] - counts["pronunciations"]),
            ("words that sound alike", counts["pronunciations"]),
            ("missing words", counts["deletions"]),
            ("extra words", counts["insertions"]),
        ):
            rows.append({"group": group, "system": name, "rate": count / words})
    return pd.DataFrame(rows)


def tabulate_by(heard: Heard, column: str) -> pd.DataFrame:
    """Columns `group` (values of a column), `system`, `rate` (WER), `utterances`; none where nothing is known.

    The worst groups of the last system come first.
    """
    rows = [
        {"group": group, "system": name, "rate": find_wer(part), "utterances": part["id"].nunique()}
        for name, frame in heard.systems
        if column in frame
        for group, part in frame.dropna(subset=[column]).groupby(column)
    ]
    frame = pd.DataFrame(rows, columns=["group", "system", "rate", "utterances"])
    last = frame[frame["system"] == heard.names[1]].set_index("group")["rate"]
    order = frame["group"].map(last)
    return frame.assign(order=order).sort_values("order", ascending=False, kind="stable").drop(columns="order")


def find_worst(heard: Heard, count: int) -> pd.DataFrame:
    """The utterances with most errors after tuning.

    Returns:
        Columns `id`, `speaker`, `kind`, `reference`, `hypothesis` (of the training that made most of them), `errors`
        (mean over trainings), `before` (what the first system made of it; None: there is none).
    """
    frame = heard.after.assign(errors=heard.after[_ERRORS].sum(axis=1))
    mean = frame.groupby("id", sort=False)["errors"].mean()
    worst = frame.sort_values("errors", ascending=False, kind="stable").drop_duplicates("id")
    worst = worst.assign(errors=worst["id"].map(mean)).query("errors > 0")
    worst = worst.sort_values("errors", ascending=False, kind="stable").head(count)
    for column in ("speaker", "kind"):
        if column not in worst:
            worst = worst.assign(**{column: None})
    before = None
    if heard.before is not None:
        before = worst["id"].map(heard.before.drop_duplicates("id").set_index("id")["hypothesis"])
    return worst.assign(before=before)
