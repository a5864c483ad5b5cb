"""Which settings matter?"""

from __future__ import annotations

from collections.abc import Iterator

from stt_tune.results.plots.parallel import plot_parallel_coordinates
from stt_tune.results.plots.parameters import has_colours, plot_importance, plot_parameter, plot_partial_dependence
from stt_tune.results.plots.theme import format_value
from stt_tune.results.report.blocks import Figure, Section, plain, rate
from stt_tune.results.report.importance import ENOUGH_TRIALS, Surrogate
from stt_tune.results.report.record import RunRecord
from stt_tune.results.trials import CONFIG

QUESTION = "Which settings matter?"
_DEPENDENCES = 4
_MOST_AXES = 10
_LEAST_EXPLAINED = 0.1
_RATE_NAMES = ("learning_rate", "lr")


def answer_matters(record: RunRecord, surrogate: Surrogate | None) -> Section:
    """Importance and dependence by a model of the completed trials; the trials themselves."""
    names = [name.removeprefix(CONFIG) for name in record.varied]
    if not names or record.completed.empty:
        return Section(QUESTION, ("This cannot be said: no completed trials that differ in their settings.",))
    ranked = list(surrogate.importance["parameter"]) if surrogate else []
    names = [*ranked, *(name for name in names if name not in ranked)]
    parts = [*(_draw_model(record, surrogate) if surrogate else ()), *_draw_trials(record, names)]
    return Section(QUESTION, tuple(_describe(record, surrogate)), tuple(parts))


def _describe(record: RunRecord, surrogate: Surrogate | None) -> Iterator[str]:
    done = len(record.completed)
    if surrogate is None:
        if done < ENOUGH_TRIALS:
            why = f"are too few to tell what matters from chance; it takes {ENOUGH_TRIALS}."
        elif record.completed[record.column].nunique() < 2:
            why = "came to the same result, so that nothing tells what matters."
        else:
            why = "have the same settings, so that nothing tells what matters."
        yield f"{done} completed trials {why} Below are the trials themselves."
        return
    first = surrogate.importance.iloc[0]
    share = max(surrogate.explained, 0.0)
    model = (
        f"A model of the {done} completed trials foretells {share:.0%} of the variance of those that it has not seen."
    )
    if share < _LEAST_EXPLAINED:
        yield f"Nothing that stands out from chance. {model} The order below may be any."
    elif first["importance"] < first["spread"]:
        yield f"{plain(first['parameter'])} seems to matter most, if by less than the spread of that figure. {model}"
    else:
        yield f"{plain(first['parameter'])} matters most. {model}"
    yield (
        "Trials that were stopped early take no part, as theirs are not the results of their configurations; what is "
        "said here holds between configurations that were good enough to go on."
    )


def _draw_model(record: RunRecord, surrogate: Surrogate) -> Iterator[Figure]:
    importance = surrogate.importance
    told = ", ".join(
        f"{plain(row['parameter'])} {row['importance']:.2f} (±{row['spread']:.2f})"
        for row in importance.head(_MOST_AXES).to_dict("records")
    )
    yield Figure(
        "importance",
        "Importance",
        f"How much of the explained variance is lost without each: {told}. Bars are standard deviations.",
        plot_importance(importance),
    )
    for name in importance["parameter"].head(_DEPENDENCES):
        dependence = surrogate.depend(f"{CONFIG}{name}")
        best = dependence.sort_values("expected", ascending=record.mode == "min").iloc[0]
        shown = plain(name)
        yield Figure(
            f"dependence_{name}",
            f"Expected {plain(record.metric)} by {shown}",
            f"Best at {shown} {plain(format_value(best['value']))}, where {rate(best['expected'])} is expected "
            f"({rate(best['low'])} to {rate(best['high'])} by models of parts of the trials).",
            plot_partial_dependence(dependence, name, record.metric),
        )


def _draw_trials(record: RunRecord, names: list[str]) -> Iterator[Figure]:
    done = record.completed
    if len(done) > 1:
        best = record.best
        winner = ", ".join(
            f"{plain(name)} {plain(format_value(best.configuration[name]))}"
            for name in names[:_MOST_AXES]
            if best and name in best.configuration
        )
        yield Figure(
            "parallel_coordinates",
            "All completed trials",
            f"A line for each of {len(done)} completed trials through its settings to its result; blue ones are the "
            f"best. The best trial has {winner}. Drag along an axis to select.",
            plot_parallel_coordinates(done, names[:_MOST_AXES], record.column, record.mode),
        )
    name = _find_rate(names)
    others = [each for each in names if each.split(".")[-1] == "batch_size" and each != name]
    colour_by = next((each for each in others if has_colours(record.trials, each)), None)
    by = f", coloured by {plain(colour_by)}" if colour_by else ""
    yield Figure(
        "learning_rate",
        f"{plain(name)} against {plain(record.metric)}",
        f"Each trial's last {plain(record.metric)} on dev by {plain(name)}{by}. Filled marks were completed; open "
        "ones were stopped early, and show where they stood then; crosses diverged or failed.",
        plot_parameter(record.trials, name, record.column, colour_by, record.mode),
    )


def _find_rate(names: list[str]) -> str:
    """The learning rate, by its usual names; else what comes first."""
    return next((name for known in _RATE_NAMES for name in names if name.split(".")[-1] == known), names[0])
