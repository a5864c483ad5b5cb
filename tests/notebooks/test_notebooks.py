"""Every notebook runs from its first to its last cell on a real run, and is committed without outputs."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from stt_tune.run.tune import TuneResult

_FOLDER = Path(__file__).parents[2] / "notebooks"
_NOTEBOOKS = sorted(_FOLDER.glob("*.ipynb"))
_SLOW = ("choose_a_search",)  # it searches
_PICTURES = {"analyse_sweep": 4, "compare_sweeps": 2, "choose_a_search": 2}


@pytest.fixture(scope="module")
def place(small_run: TuneResult, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """What the notebooks are told of a folder with two runs."""
    runs = tmp_path_factory.mktemp("side-by-side")
    for name in ("before", "after"):
        shutil.copytree(small_run.folder.path, runs / name, ignore=shutil.ignore_patterns("ray", "wandb"))
    return {"STT_TUNE_RUN": str(runs / "before"), "STT_TUNE_RUNS": str(runs), "STT_TUNE_SEEDS": "2"}


def test_there_are_notebooks() -> None:
    assert [path.stem for path in _NOTEBOOKS] == sorted(_PICTURES)


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, id=path.stem, marks=[pytest.mark.slow] * (path.stem in _SLOW)) for path in _NOTEBOOKS],
)
def test_a_notebook_runs_and_shows_pictures(
    path: Path, place: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in place.items():
        monkeypatch.setenv(name, value)
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(path.parent)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    pictures = sum("application/vnd.plotly.v1+json" in output.get("data", {}) for output in outputs)
    assert pictures == _PICTURES[path.stem]


@pytest.mark.parametrize("path", _NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_committed_without_outputs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
