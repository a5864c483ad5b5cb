"""Every notebook runs from its first to its last cell on a real run, and is committed without outputs."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from stt_tune.results.trials import Trial, TrialTable
from stt_tune.run.folder import RunFolder
from stt_tune.run.tune import TuneResult
from stt_tune.sweep.config import SweepConfig

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
    assert _count_pictures(path) == _PICTURES[path.stem]


def _count_pictures(path: Path) -> int:
    """Run a notebook, and count what it shows."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(path.parent)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return sum("application/vnd.plotly.v1+json" in output.get("data", {}) for output in outputs)


def _make_own(path: Path, metric: str, goal: str) -> None:
    """Make the folder of a sweep over a training of one's own."""
    sweep = SweepConfig.from_dict(
        {"method": "random", "metric": {"name": metric, "goal": goal}, "parameters": {"depth": {"min": 1, "max": 9}}}
    )
    folder = RunFolder(path)
    folder.start(sweep, 0, None)
    reports = [{"epoch": 1, metric: 0.5}, {"epoch": 2, metric: 0.4}]
    trials = [Trial(f"id{i}", i, False, {"depth": i + 1}, "completed", reports=list(reports)) for i in range(3)]
    TrialTable((metric,), trials).save(folder.trials)


@pytest.mark.parametrize(("name", "pictures"), [("analyse_sweep", 4), ("compare_sweeps", 3)])
def test_a_notebook_shows_sweeps_with_objectives_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, pictures: int
) -> None:
    _make_own(tmp_path / "sweep", "error", "minimize")
    _make_own(tmp_path / "project" / "sweep", "accuracy", "maximize")
    monkeypatch.setenv("STT_TUNE_RUN", str(tmp_path / "project" / "sweep"))
    monkeypatch.setenv("STT_TUNE_RUNS", str(tmp_path))
    assert _count_pictures(_FOLDER / f"{name}.ipynb") == pictures


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("analyse_sweep", "must be the folder of a run, with run.json and sweep.yaml, and is none"),
        ("compare_sweeps", "must hold run folders, and has none. Name another place in STT_TUNE_RUNS"),
    ],
)
@pytest.mark.slow
def test_a_notebook_says_where_it_finds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str
) -> None:
    for variable in ("STT_TUNE_RUN", "STT_TUNE_RUNS"):
        monkeypatch.setenv(variable, str(tmp_path))
    with pytest.raises(CellExecutionError, match=f"{tmp_path}: {message}"):
        _count_pictures(_FOLDER / f"{name}.ipynb")


@pytest.mark.parametrize("path", _NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_committed_without_outputs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
