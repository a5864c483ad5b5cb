"""What the README tells to type exists."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from stt_tune.cli import app
from stt_tune.results.trials import STATUSES
from stt_tune.run.tune import TuneResult

_REPOSITORY = Path(__file__).parents[1]
_README = (_REPOSITORY / "README.md").read_text()
_BLOCKS = "\n".join(re.findall(r"```sh\n(.*?)```", _README, re.DOTALL)).replace("\\\n", " ")


def _calls() -> list[list[str]]:
    lines = [shlex.split(line, comments=True) for line in _BLOCKS.splitlines()]
    return [words[1:] for words in lines if words and words[0].endswith("stt-tune")]


def test_the_two_commands_are_targets_of_the_makefile() -> None:
    targets = re.findall(r"^(\w[\w-]*):", (_REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    told = re.findall(r"^make ([\w-]+)", _BLOCKS, re.MULTILINE)
    assert told[:2] == ["demo", "test"]
    assert set(told) <= set(targets)


@pytest.mark.parametrize("call", _calls(), ids=" ".join)
def test_a_command_of_the_readme_has_its_verb_flags_and_files(call: list[str]) -> None:
    verb, *rest = call
    command = get_command(app).commands[verb]  # type: ignore[attr-defined]
    if isinstance(command, TyperGroup):
        command = command.commands[rest.pop(0)]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in rest if word.startswith("--")} <= known
    for word in rest:
        if word.startswith(("configs/", "cluster/", "notebooks/")):
            assert (_REPOSITORY / word).exists()


def test_files_and_states_are_those_of_a_real_run(small_run: TuneResult) -> None:
    section = _README.split("## The run folder")[1].split("\n## ")[0]
    told = re.findall(r"^\| ((?:`[\w./]+`(?:, )?)+) \|", section, re.MULTILINE)
    names = {name.rstrip("/") for cell in told for name in re.findall(r"`([\w./]+)`", cell)}
    made = {path.name for path in small_run.folder.path.iterdir() if not path.name.startswith(".")}
    assert made <= names
    rare = {"frame.yaml", "rejected.jsonl", "optimal_config.before.json"}
    rare |= {"checkpoints", "faults.jsonl", "errors"}
    assert names - made == {*rare, "best_model", "best_model_ctranslate2"}
    assert all(f"`{status}`" in _README for status in STATUSES)
