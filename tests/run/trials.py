"""Trials as a table holds them, made up."""

from __future__ import annotations

from stt_tune.results.trials import Trial


def make_trial(number: int, status: str, wer: float, **configuration: object) -> Trial:
    """A trial of 12 epochs with one report, after its last one; number 0 is the default."""
    settings = {
        "learning_rate": 0.000123 * (number + 1),
        "batch_size": 8 * (number + 1),
        "epochs": 12,
        "warmup_ratio": 0.0634 * (number + 1),
        "weight_decay": 0.00586 * (number + 1),
        "dropout": 0.0118 * number,
        "gradient_accumulation_steps": number + 1,
        **configuration,
    }
    return Trial(f"id{number}", number, number == 0, settings, status, reports=[{"epoch": 12, "wer": wer}])
