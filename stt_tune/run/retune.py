"""Re-tune: see on new data whether the configuration that production uses is still the best."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stt_tune.errors import SettingsError
from stt_tune.results.optimal_config import read_optimal_config
from stt_tune.results.shared_file import locate_shared
from stt_tune.run.settings import TuneSettings, check_trainable, found_with
from stt_tune.run.tune import TuneResult, tune
from stt_tune.sweep.around import build_sweep_around


def retune(
    config: str | Path,
    out: str | Path,
    *,
    sweep: Path | None = None,
    model: str | None = None,
    language: str | None = None,
    normaliser: str | None = None,
    trials: int = 5,
    min_gain: float = 0.05,
    **given: Any,
) -> TuneResult:
    """Run a small sweep around the configuration that production uses; replace it by a really better one.

    Args:
        config: The shared `optimal_config.json`, a path or a URL.
        out: The run folder, a path or a URL; it must not hold a run yet.
        sweep: A W&B sweep file; None: one around the configuration.
        model: None: the one that the configuration was found with; `language` and `normaliser` likewise.
        language: Whisper's code.
        normaliser: One of `NORMALISERS`.
        trials: How many, the incumbent among them.
        min_gain: The relative gain, beyond chance, that replaces it.
        **given: Other fields of `TuneSettings`; `data` at least.

    Returns:
        What the run gave; `replacement` says what became of the file.

    Raises:
        SettingsError: The file is not valid, its hyperparameters cannot be trained, or it names no model.
        SttTuneError: As `tune`.
    """
    config = locate_shared(config)
    document = read_optimal_config(config)
    incumbent = check_trainable(document["hyperparameters"], config)
    given |= {
        **found_with(document),
        **{name: value for name, value in (("language", language), ("normaliser", normaliser)) if value is not None},
    }
    given["model"] = model or document.get("model")
    if given["model"] is None:
        raise SettingsError(f"{config}: model: must say what is fine-tuned, and is not there. Name it with --model.")
    settings = TuneSettings(
        default=incumbent,
        retunes=config,
        trials=trials,
        min_gain=min_gain,
        **given,
    )
    return tune(sweep or build_sweep_around(settings.default_configuration()), settings, out)
