"""One utterance as a model takes it, and the three splits of a data set."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from stt_tune.speech.rates import UtteranceErrors


@dataclass(frozen=True)
class Example:
    """One utterance, ready for training.

    Attributes:
        id: The utterance's id.
        reference: The correct transcript.
        features: What the model's family makes of the audio, float32; its first axis is time, unless
            the family says otherwise.
        labels: Token ids of the transcript, as the family learns them.
        kind: The kind of error that the production system makes on it; None: none, or not known yet.
        is_labelled: Whether `kind` is known.
        speaker: Who speaks, if known.
        session: The conversation that it is from, if known.
        base: What the base model gets wrong of it, where it was asked.
        states: What the encoder makes of it at the training's context, [positions, width], float16; None: the encoder
            is to be run.
    """

    id: str
    reference: str
    features: np.ndarray
    labels: list[int]
    kind: str | None = None
    is_labelled: bool = False
    speaker: str | None = None
    session: str | None = None
    base: UtteranceErrors | None = None
    states: np.ndarray | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class SpeechData:
    """A data set, prepared for one model.

    Attributes:
        train: Trained on.
        dev: Measured after every epoch; what a sweep chooses by.
        test: Held out.
        replay: What the system gets right today, to be mixed in.
        guard: What it gets right today, and has to go on getting right.
    """

    train: list[Example]
    dev: list[Example]
    test: list[Example]
    replay: list[Example] = field(default_factory=list)
    guard: list[Example] = field(default_factory=list)
