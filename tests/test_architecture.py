"""The house's rules, held against the code: who may import whom, and what loads at the start."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

_PACKAGE = Path(__file__).parents[1] / "stt_tune"
_SHARED = {"errors", "files", "progress", "storage", "transfer"}
_MAY_IMPORT = {
    "sweep": {"sweep"},
    "speech": {"speech"},
    "results": {"results"},
    "run": {"run", "sweep", "speech", "results"},
    "demo": {"demo", "run", "sweep", "speech", "results"},
    "bench": {"bench", "demo", "run", "sweep", "speech", "results"},
    "cli": {"cli", "bench", "demo", "run", "sweep", "speech", "results"},
    "__init__": {"run", "sweep", "speech", "results"},
    "__main__": {"cli"},
}
_ONLY_IN = {
    "ray": ("run/", "sweep/searcher.py", "sweep/scheduler.py", "sweep/ray_space.py"),
    "optuna": ("sweep/ray_space.py", "bench/peers.py", "bench/recipe.py"),
    "sklearn": ("sweep/gaussian_process.py", "bench/recorded.py", "results/report/"),
    "torch": ("speech/", "bench/made_up.py", "bench/recipe.py", "bench/throughput.py"),
    "transformers": ("speech/", "bench/made_up.py", "bench/recipe.py", "bench/throughput.py"),
    "pandas": ("results/",),
    "plotly": ("results/",),
    "kaleido": ("results/",),
    "jinja2": ("results/",),
    "wandb_workspaces": ("run/wandb_view.py", "run/wandb_workspace.py"),
}
_HEAVY = {*_ONLY_IN, "wandb"}


def _modules() -> list[Path]:
    paths = sorted(_PACKAGE.rglob("*.py"))
    assert len(paths) > 20
    return paths


def _imports(path: Path, *, for_types: bool = True) -> Iterator[str]:
    """What a file imports; `for_types`: also that which only the type checker reads."""
    tree = ast.parse(path.read_text())
    if not for_types:
        tree.body = [
            node for node in tree.body if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test))
        ]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""


def _room(path: Path) -> str:
    first = path.relative_to(_PACKAGE).parts[0]
    return first.removesuffix(".py")


@pytest.mark.parametrize("path", _modules(), ids=lambda path: str(path.relative_to(_PACKAGE)))
def test_a_room_imports_only_what_it_may(path: Path) -> None:
    room = _room(path)
    for name in _imports(path):
        parts = name.split(".")
        if parts[0] == "stt_tune" and len(parts) > 1:
            allowed = _SHARED if room in _SHARED else _SHARED | _MAY_IMPORT[room]
            assert parts[1] in allowed, f"{room} imports {name}"
    for library in {name.split(".")[0] for name in _imports(path, for_types=False)} & set(_ONLY_IN):
        place = str(path.relative_to(_PACKAGE))
        assert place.startswith(_ONLY_IN[library]), f"{place} imports {library}"


def test_the_package_has_no_import_cycles() -> None:
    graph = {_name(path): {name for name in _imports(path) if name.startswith("stt_tune.")} for path in _modules()}
    # the package's own lazy names and the command line stand at the top and import no one back
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join((*trail, module))
        if module not in done:
            for other in graph.get(module, ()):
                visit(other, (*trail, module))
            done.add(module)

    for module in graph:
        visit(module, ())


def _name(path: Path) -> str:
    parts = path.relative_to(_PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.mark.parametrize(
    "start", ["import stt_tune", "import sys; sys.argv = ['stt-tune', '--help']; import stt_tune.cli as c; c.main()"]
)
def test_the_start_loads_nothing_heavy(start: str) -> None:
    check = f"import sys, atexit; atexit.register(lambda: print('LOADED', sorted({_HEAVY!r} & set(sys.modules))))\n"
    result = subprocess.run([sys.executable, "-c", check + start], capture_output=True, text=True, check=True)
    assert "LOADED []" in result.stdout


def test_files_stay_small() -> None:
    long = {str(path): lines for path in _modules() if (lines := len(path.read_text().splitlines())) > 400}
    assert not long
