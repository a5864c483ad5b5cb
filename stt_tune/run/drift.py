"""Find out whether speech has moved since an optimal config was made, and how to look regularly."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from stt_tune.errors import SettingsError
from stt_tune.progress import say
from stt_tune.results.confirmation import BASE_MODEL
from stt_tune.results.drift import Shift, compare_profiles, is_due
from stt_tune.results.optimal_config import read_optimal_config
from stt_tune.results.statistics import format_p_value
from stt_tune.run.profile import profile_data, profile_errors
from stt_tune.run.settings import found_with
from stt_tune.speech.inspection import telling_of_cache
from stt_tune.speech.manifest import LONGEST_S, Utterance, read_sound
from stt_tune.speech.normalisers import Normalise, find_normaliser, load_normaliser

DUE = 3
"""What the command line exits with, if asked to, where a re-tune is due."""
_HEARD = 200  # utterances are enough for the base model's word error rate
_IMAGE = "YOUR-IMAGE-WITH-STT-TUNE"


@dataclass(frozen=True)
class DriftReport:
    """What has changed.

    Attributes:
        shifts: One for each property that both profiles know.
        utterances: New ones.
        is_due: Whether a re-tune is.
    """

    shifts: list[Shift]
    utterances: int
    is_due: bool

    def to_dict(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return asdict(self)

    def describe(self) -> list[str]:
        """For people, a line for each property, then the verdict."""
        lines = []
        for shift in self.shifts:
            verdict = "has moved" if shift.is_large else "has not moved beyond chance and a small effect"
            lines.append(
                f"{shift.name}: {shift.told}; p {format_p_value(shift.p_value)}, effect {shift.effect:+.2f}: {verdict}"
            )
        names = ", ".join(shift.name for shift in self.shifts if shift.is_large)
        verdict = f"A re-tune is due: {names}." if self.is_due else "No re-tune is due."
        return [*lines, f"{self.utterances} new utterances. {verdict}"]


@telling_of_cache()
def find_drift(
    config: str,
    source: str,
    *,
    split: str | None = None,
    columns: Mapping[str, str] | None = None,
    skip_bad: bool = False,
) -> DriftReport:
    """Compare data with those that an optimal config was made from.

    Args:
        config: An `optimal_config.json`, a path or a URL.
        source: New data, as `read_rows` takes them.
        split: Of a data set: only this one.
        columns: Our names of columns to the source's.
        skip_bad: Whether bad rows are left out instead of refused.

    Raises:
        SttTuneError: The file or the data cannot be used.
    """
    document = read_optimal_config(config)
    before = document.get("data_profile")
    if not before:
        raise SettingsError(
            f"{config}: data_profile: must say what the data were like, and is not there. The files that stt-tune "
            "tune writes have it."
        )
    edges_s, counts = before.get("duration_edges_s", []), before.get("duration_counts", [0])
    if len(counts) != len(edges_s) + 1 or edges_s != sorted(edges_s):
        raise SettingsError(
            f"{config}: data_profile: must have duration_edges_s that ascend and one more of duration_counts, found "
            f"{edges_s} and {counts}."
        )
    settings = found_with(document)
    normaliser = find_normaliser(settings["normaliser"], settings["language"])
    normalise = load_normaliser(normaliser)
    utterances, _rejected = read_sound(
        source, skip_bad=skip_bad, max_duration_s=LONGEST_S, normalise=normalise, split=split, columns=columns
    )
    after = profile_data(utterances, normalise)
    if before.get("base", {}).get("source") == BASE_MODEL:
        heard = _hear_base(utterances, settings, normaliser, normalise)
        after = {**after, "base": heard} if heard else after
    elif "base" in before and "base" not in after:
        say(f"base WER: not compared, as {source} does not say what production heard (hypothesis)")
    shifts = compare_profiles(before, after)
    return DriftReport(shifts, len(utterances), is_due(shifts))


def _hear_base(
    utterances: list[Utterance], settings: Mapping[str, str], normaliser: str, normalise: Normalise
) -> dict[str, Any] | None:
    """What the untrained model gets wrong; None where there is nothing that it can take."""
    from stt_tune.speech.decode import measure_untrained
    from stt_tune.speech.features import make_examples
    from stt_tune.speech.model import load_model

    model = load_model(settings["model"], language=settings["language"])
    fitting = [
        each
        for each in utterances
        if each.duration_s <= model.max_context_s and model.find_misfit(each.duration_s, each.text) is None
    ]
    if not fitting:
        say(f"base WER: not compared, as {model.name} can take none of the {len(utterances)} utterances")
        return None
    chosen = np.random.default_rng(0).permutation(len(fitting))[:_HEARD]
    say(f"finding out what {model.name} gets wrong of {len(chosen)} utterances")
    examples = make_examples([fitting[i] for i in sorted(chosen)], model, normalise)
    return profile_errors(measure_untrained(model, examples, normaliser), BASE_MODEL)


def describe_cron(
    config: str,
    data: str,
    *,
    split: str | None = None,
    columns: str | None = None,
    skip_bad: bool = False,
    replay: str | None = None,
    guard: str | None = None,
) -> str:
    """A crontab line and a Kubernetes CronJob: look every month, and re-tune where that is due.

    Args:
        config: As for `find_drift`, and so are the others.
        data: New data.
        split: Of a data set: only this one.
        columns: As on the command line.
        skip_bad: Whether bad rows are left out.
        replay: For the re-tune alone, and so is the next.
        guard: What production gets right.

    Raises:
        SettingsError: The file is not valid, or its re-tune would be refused for want of `replay`.
        SharedFileError: It cannot be reached.
    """
    if read_optimal_config(config)["hyperparameters"].get("replay_ratio") and replay is None:
        raise SettingsError(
            f"--replay: must be given with --cron, as the replay_ratio of {config} needs utterances to replay, and is "
            "not. Name them with --replay MANIFEST."
        )
    words = ["--config", config, "--data", data]
    words += ["--split", split] if split else []
    words += ["--columns", columns] if columns else []
    words += ["--skip-bad"] if skip_bad else []
    given = shlex.join(words)
    beside = ["--replay", replay] if replay else []
    beside += ["--guard", guard] if guard else []

    def check(call: str) -> str:
        retune = f"{call} retune {shlex.join([*words, *beside])} --record"
        return f"{call} drift {given} --exit-code; c=$?; if [ $c -eq {DUE} ]; then {retune}; else exit $c; fi"

    line = check(f"{shlex.quote(sys.executable)} -m stt_tune").replace("%", r"\%")  # cron's end of a line
    return f"""\
# crontab -e: at 3:00 on the first of every month
0 3 1 * * {line}

# kubectl apply -f: the same in a cluster; fill in the image, and mount or reach its paths
apiVersion: batch/v1
kind: CronJob
metadata:
  name: stt-tune-retune
spec:
  schedule: "0 3 1 * *"
  concurrencyPolicy: Forbid
  jobTemplate:
    spec:
      backoffLimit: 0
      template:
        spec:
          restartPolicy: Never
          containers:
            - name: stt-tune
              image: {_IMAGE}
              command: ["/bin/sh", "-c"]
              args:
                - {json.dumps(check("stt-tune"))}
"""
