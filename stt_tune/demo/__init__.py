"""The embedded default: the main job on synthesised speech with a packaged model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stt_tune.demo.corpus import CorpusSize
    from stt_tune.run.settings import TuneSettings

DEMO_SWEEP = Path(__file__).parent / "sweep.yaml"


def build_demo_settings(*, trials: int, seed: int, size: CorpusSize | None = None) -> TuneSettings:
    """Synthesise the speech, unless it is in the cache, and set up its sweep.

    Args:
        trials: Of the sweep.
        seed: Of speech and sweep.
        size: Utterances of each split; None: those of the demo.

    Raises:
        SettingsError: The extra `demo` is not installed.
    """
    from stt_tune.demo.corpus import CorpusSize, make_corpus
    from stt_tune.run.settings import TuneSettings

    manifest = make_corpus(size or CorpusSize(), seed)
    return TuneSettings(data=str(manifest), model="tiny.en", trials=trials, seed=seed, max_concurrent=2)
