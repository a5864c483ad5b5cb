"""Say in a few lines what held-out speech says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stt_tune.results.confirmation import BASE_MODEL, ENOUGH_BLOCKS
from stt_tune.results.statistics import SIGNIFICANT, Gain, format_p_value

_USELESS_WER = 1.0
_STAYS = {"default_kept": "the default configuration stays", "incumbent_kept": "the incumbent stays"}


def describe_held_out(document: Mapping[str, Any], *, is_tabulated: bool = False) -> list[str]:
    """What held-out speech says of every system, then the verdict, a line for each.

    Args:
        document: What `optimal_config.json` holds.
        is_tabulated: Whether a table below says what is measured of each system, so that there are no lines of it.
    """
    held_out = document["held_out"]
    context_s = held_out["audio_context_s"]
    at_context = "" if context_s is None else f" at {context_s:g} s context"
    blocks = "" if held_out["blocks_are"] == "utterance" else f" of {held_out['blocks']} {held_out['blocks_are']}s"
    times = {1: "once", 2: "twice"}.get(len(held_out["seeds"]), f"{len(held_out['seeds'])} times")
    measured = (
        f"On held-out speech ({held_out['utterances']} utterances{blocks}{at_context}), each trained anew {times}"
    )
    lines = [f"{measured}, as the table says."]
    if not is_tabulated:
        systems = (f"  {_describe_system(each, document)}" for each in held_out["systems"])
        lines = [f"{measured}:", *_describe_base(held_out), *systems]
    if held_out["blocks_are"] != "speaker" and 0 < held_out["speakers"] < ENOUGH_BLOCKS:
        lines.append(f"Speakers: {held_out['speakers']}. The intervals hold for them, and say nothing of others.")
    if held_out["choice"] == "cross-fitting":
        place = "table flatters" if is_tabulated else "lines above flatter"
        lines.append(f"Choosing has seen all of them, so the {place} the best candidate; the verdict does not.")
    if held_out["guard"]:
        guard = held_out["guard"]
        lines.append(
            f"Guard: {guard['utterances']} utterances, base model WER {guard['base_wer']:.4f}, a rise of "
            f"{100 * guard['tolerance']:g} points is tolerated."
        )
    return [*lines, *describe_verdict(document), *_warn_of_useless(held_out)]


def _warn_of_useless(held_out: Mapping[str, Any]) -> list[str]:
    if held_out["wer"] < _USELESS_WER:
        return []
    return [
        f"A WER of {held_out['wer']:.2f} is no better than hearing nothing: check --model, --language, --normaliser "
        "and the transcripts before anything else."
    ]


def _describe_base(held_out: Mapping[str, Any]) -> list[str]:
    if "base_wer" not in held_out:  # of 0.1.0
        return []
    low, high = held_out["base_wer_interval"]
    return [f"  {BASE_MODEL}, untrained: WER {held_out['base_wer']:.4f} (95 % interval {low:.4f} to {high:.4f})"]


def _describe_system(system: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    metric, reference = document.get("metric", "wer"), document["held_out"]["compared_with"]
    name = f"{system['name']}: "
    if system["wer"] is None:
        return f"{name}{system['objection']}"
    low, high = system["wer_interval"]
    parts = [f"WER {system['wer']:.4f} (95 % interval {low:.4f} to {high:.4f})"]
    if "relative_gain" in system:
        low, high = system["interval"]
        parts.append(
            f"gain over the {reference} {system['relative_gain']:+.1%} ({low:+.1%} to {high:+.1%}, "
            f"p {format_p_value(system['p_value'])})"
        )
    if "promised_gain" in system:
        of = "" if metric == "wer" else f" of {metric}"  # all else is WER
        parts.append(f"dev promised {system['promised_gain']:+.1%}{of} over the default")
    if len(system["wer_by_seed"]) > 1:
        parts.append(f"by seed {min(system['wer_by_seed']):.4f} to {max(system['wer_by_seed']):.4f}")
    change = f" ({system['training_change']:+.0%})" if system["training_change"] else ""
    parts.append(f"{system['training_s']:.0f} s a training{change}")
    if "guard" in system:
        parts.append(f"guard {100 * system['guard']['rise']:+.1f} points")
    if "objection" in system:
        parts.append(system["objection"])
    return name + "; ".join(parts)


def describe_verdict(document: Mapping[str, Any]) -> list[str]:
    """Say in one or two lines whether anything was gained."""
    held_out, decision = document["held_out"], document["decision"]
    candidates = [each for each in held_out["systems"] if each["role"] == "candidate"]
    if not candidates:
        return [f"No trial was better on dev: {_STAYS[decision]}."]
    if all("objection" in each for each in candidates):
        return [f"No candidate can be taken: {_STAYS[decision]}."]
    reference = held_out["compared_with"]
    low, high = held_out["interval"]
    figures = (
        f"WER {held_out['wer']:.4f}, {reference} {held_out[f'{reference}_wer']:.4f}, relative gain "
        f"{held_out['relative_gain']:+.1%} (95 % interval {low:+.1%} to {high:+.1%})"
    )
    how = {
        "a separate part": "; chosen on one part of the held-out speech, measured on the other",
        "cross-fitting": "; chosen and measured on different fifths of the held-out speech in turn (cross-fitting), "
        "as it is too little for two parts",
    }.get(held_out["choice"], "")
    name = f"Trial {document['winner']['number']}"
    if decision == "winner":
        return [f"{name}: {figures}{how}."]
    why = _explain(Gain(held_out["relative_gain"], low, high, held_out["p_value"]), held_out.get("training_noise"))
    return [f"{name}: {figures}{how}.", f"{why}: {_STAYS[decision]}."]


def _explain(gain: Gain, training_noise: float | None) -> str:
    """Why a winner is not taken."""
    if gain.is_real:
        return "It is less than was asked for"
    if gain.high < 0:
        return "It is worse"
    if gain.p_value >= SIGNIFICANT:
        return "It is not better beyond chance"
    if training_noise:
        return (
            "It is not better beyond chance, which the interval says: it counts how far trainings lie apart that "
            "differ in their seed alone, and p does not"
        )
    return "It is not better beyond chance, as the interval reaches 0"
