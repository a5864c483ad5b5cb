"""The options of the command line: each is the same wherever it stands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from stt_tune.run.seeds import check_seed


def _read_count(text: str) -> int | str:
    """Read a number; what is none is `auto`, or will be refused."""
    return int(text) if text.isdecimal() else text


OUT_HERE = "Name one with --out, and copy it there afterwards."
"""What to do where the URL of another place is given to an `--out` that takes none."""

SweepFile = Annotated[Path, typer.Argument(metavar="SWEEP", help="A W&B sweep file (YAML).", show_default=False)]
Data = Annotated[
    str,
    typer.Option(
        help="Manifest (JSONL, CSV, Parquet; NeMo's, too) with audio and text, a folder with metadata.csv, or hf:NAME. "
        "May be a URL such as s3://bucket/manifest.jsonl."
    ),
]
Split = Annotated[str | None, typer.Option(help="Of a data set: only this split, to be divided.", show_default=False)]
Columns = Annotated[
    str | None,
    typer.Option(
        help="What columns are called, such as audio=path,text=sentence.  [default: guessed]", show_default=False
    ),
]
Model = Annotated[str, typer.Option(help="tiny.en (packaged), a transformers or CTranslate2 folder, or a hub name.")]
Trials = Annotated[int, typer.Option(help="How many, the default configuration among them.")]
SweepTrials = Annotated[
    int | None,
    typer.Option(
        help="How many, the default configuration among them.  [default: the sweep's run_cap, its whole grid, or 20]",
        show_default=False,
    ),
]
Scheduler = Annotated[
    str,
    typer.Option(
        help="Early stopping: asha on the bands of early_terminate, wandb-hyperband (W&B's own rule) or none."
    ),
]
StartFrom = Annotated[
    list[str] | None,
    typer.Option(
        help="optimal_config.json (path or URL) whose winners, earlier ones too, come first. May be repeated.",
        show_default=False,
    ),
]
TimeBudget = Annotated[str | None, typer.Option(help="What the sweep may take, such as 2h or 90m.", show_default=False)]
TrialTimeout = Annotated[
    str | None,
    typer.Option(help="End a trial that reports nothing for so long, such as 30m.", show_default=False),
]
GpuHours = Annotated[float | None, typer.Option(help="What its trials may take.", show_default=False)]
TargetWer = Annotated[
    float | None, typer.Option(help="Start no further trial once one has this dev WER.", show_default=False)
]
MinImprovement = Annotated[
    float | None,
    typer.Option(
        help="End once the model of bayes expects the next trial to improve on the best by less than this share.",
        show_default=False,
    ),
]
Out = Annotated[
    str | None,
    typer.Option(
        help="Run folder, or a URL such as s3://bucket/runs/digits.  [default: runs/NAME-OF-SWEEP-FILE]",
        show_default=False,
    ),
]
Default = Annotated[
    Path | None,
    typer.Option(help="YAML or JSON: the untuned configuration to compare with.", show_default=False),
]
Seed = Annotated[int, typer.Option(callback=check_seed, help="Of configurations, splits, training and resampling.")]
MaxConcurrent = Annotated[
    int | None,
    typer.Option(help="Trials at a time.  [default: one a GPU; without GPUs one a machine]", show_default=False),
]
GpusPerTrial = Annotated[
    float | None,
    typer.Option(
        help="GPUs for one trial: a fraction of one, or several that share its batches.  [default: 1 if there are any]",
        show_default=False,
    ),
]
TrialsPerGpu = Annotated[
    Any,
    typer.Option(
        parser=_read_count,
        metavar="INTEGER|auto",
        help="Trials that share a GPU: a number, or auto for as many as it takes, which is measured.",
        show_default=False,
    ),
]
GpuType = Annotated[
    str | None, typer.Option(help="Run on GPUs of this type alone, as Ray calls it, such as H100.", show_default=False)
]
MinGpuMemory = Annotated[
    str | None, typer.Option(help="Run on GPUs with at least so much memory, such as 40GB.", show_default=False)
]
Wandb = Annotated[str, typer.Option(help="offline, online (needs a key) or disabled.")]
WandbProject = Annotated[
    str | None, typer.Option(help="W&B project.  [default: the sweep file's, or stt-tune]", show_default=False)
]
Normaliser = Annotated[
    str,
    typer.Option(
        help="What counts as the same word: none, basic, english, digits (basic, digits spelled), multilingual, or "
        "auto: basic for English, multilingual for other languages."
    ),
]
AudioContext = Annotated[
    float | None,
    typer.Option(
        help="Seconds that clips are padded to in training.  [default: the longest clip of each batch]",
        show_default=False,
    ),
]
Language = Annotated[str, typer.Option(help="Spoken language; English-only models ignore it.")]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Set bad rows aside into rejected.jsonl.")]
Address = Annotated[
    str | None, typer.Option(help="Ray cluster to join, such as auto.  [default: a local Ray]", show_default=False)
]
AddressOrClient = Annotated[
    str | None,
    typer.Option(
        help="Ray cluster to run on: auto or HOST:PORT from inside, ray://HOST:10001 from outside.  [default: a local "
        "Ray]",
        show_default=False,
    ),
]
DataNow = Annotated[str | None, typer.Option(help="Where the same data lie now.", show_default=False)]
AddressNow = Annotated[
    str | None,
    typer.Option(
        "--address", help="Ray cluster to join now; local: none.  [default: as the run was begun]", show_default=False
    ),
]
InsecureCluster = Annotated[
    bool, typer.Option("--insecure-cluster", help="Join a cluster that others can reach and that asks for no token.")
]
OnlyErrorType = Annotated[
    str | None,
    typer.Option(
        help="Train and measure on one kind of error alone: substitution, deletion, insertion or pronunciation.",
        show_default=False,
    ),
]
Replay = Annotated[
    str | None,
    typer.Option(help="Manifest of utterances that the system gets right today, for replay_ratio.", show_default=False),
]
Guard = Annotated[
    str | None,
    typer.Option(
        help="Manifest of utterances that the system gets right today: a configuration that makes it forget them is "
        "refused.",
        show_default=False,
    ),
]
GuardTolerance = Annotated[float, typer.Option(help="How far the WER on the guard may rise, absolute.")]
Incumbent = Annotated[
    str | None,
    typer.Option(
        help="optimal_config.json (path or URL) that production uses today, to be beaten.", show_default=False
    ),
]
Config = Annotated[
    str, typer.Option(help="The optimal_config.json that production uses: a path, or a URL such as s3://bucket/...")
]
ConfigModel = Annotated[
    str | None,
    typer.Option(
        help="What is fine-tuned, as for tune.  [default: what the config was found with]", show_default=False
    ),
]
ConfigLanguage = Annotated[
    str | None, typer.Option(help="Spoken language.  [default: the config's, or en]", show_default=False)
]
ConfigNormaliser = Annotated[
    str | None, typer.Option(help="What counts as the same word.  [default: the config's, or auto]", show_default=False)
]
RunDir = Annotated[str, typer.Argument(metavar="RUN_DIR", help="A finished run's folder or URL.", show_default=False)]
ExtendVocabulary = Annotated[
    bool, typer.Option("--extend-vocabulary", help="Add characters of the transcripts that a CTC model lacks to it.")
]
KeepBestModel = Annotated[
    bool, typer.Option("--keep-best-model", help="Keep the best trial's weights, in RUN_DIR/best_model.")
]
CTranslate2 = Annotated[
    bool, typer.Option("--ctranslate2", help="Keep them in CTranslate2's format, too, as faster-whisper serves them.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
JsonLines = Annotated[
    bool,
    typer.Option(
        "--json-lines",
        help="Print what happens while it happens, and the result, as JSON: one object a line.",
    ),
]
