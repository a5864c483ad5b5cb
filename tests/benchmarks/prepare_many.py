"""How long, and in how much memory, many short utterances are prepared.

    python tests/benchmarks/prepare_many.py [UTTERANCES]

Writes one-second clips of noise (32 kB each) and their features (34 kB each) into a temporary folder,
and prints what `stt-tune prepare --model tiny.en` took for them: the first time, and again.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

_WORDS = ("alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliett")


def _make(folder: Path, count: int) -> Path:
    rng = np.random.default_rng(0)
    manifest = folder / "manifest.jsonl"
    with manifest.open("w") as file:
        for i in range(count):
            name = f"{i // 1000:03d}/{i:06d}.wav"
            (folder / name).parent.mkdir(exist_ok=True)
            soundfile.write(folder / name, rng.integers(-3000, 3000, 16_000, dtype=np.int16), 16_000)
            text = " ".join(_WORDS[int(digit)] for digit in f"{i:06d}")
            file.write(json.dumps({"audio": name, "text": text, "speaker": f"s{i % 500}"}) + "\n")
    return manifest


def _prepare(manifest: Path, folder: Path) -> float:
    command = [sys.executable, "-m", "stt_tune", "prepare", str(manifest), "--out", str(folder / "out")]
    start = time.monotonic()
    subprocess.run(
        [*command, "--model", "tiny.en"],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "XDG_CACHE_HOME": str(folder / "cache")},
    )
    return time.monotonic() - start


def main() -> None:
    """Make, prepare, prepare again, and print."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        manifest = _make(folder, count)
        first = _prepare(manifest, folder)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        again = _prepare(manifest, folder)
        print(f"{count} utterances of 1 s: {first:.0f} s, peak memory {peak:.0f} MB; again: {again:.0f} s")


if __name__ == "__main__":
    main()
