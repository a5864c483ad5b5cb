"""The embedded default: the main job on synthesised speech with a packaged model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stt_tune.run.settings import TuneSettings

DEMO_SWEEP = Path(__file__).parent / "sweep.yaml"
DEMO_CONTEXT_S = 4.0


def build_demo_settings(*, trials: int, seed: int) -> TuneSettings:
    """Synthesise the speech, unless it is in the cache, and set up its sweep.

    Raises:
        SettingsError: The extra `demo` is not installed.
    """
    from stt_tune.demo.corpus import CorpusSize, make_corpus
    from stt_tune.run.settings import TuneSettings

    return TuneSettings(
        data=str(make_corpus(CorpusSize(), seed)),
        model="tiny.en",
        trials=trials,
        seed=seed,
        audio_context_s=DEMO_CONTEXT_S,
    )
