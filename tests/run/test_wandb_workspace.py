"""Saving the view: W&B's real client and library against a server on this machine."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import wandb

from stt_tune.errors import SettingsError, WandbError
from stt_tune.run.folder import RunFolder
from stt_tune.run.wandb_link import synced_mark
from stt_tune.run.wandb_workspace import save_workspace
from tests.run.wandb_folder import conclude, make_folder
from tests.wandb_server import KEY, WandbServer, serving


@pytest.fixture
def server() -> Iterator[WandbServer]:
    with serving() as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """A finished sweep, one of whose two runs is uploaded."""
    folder = make_folder(tmp_path)
    for number, trial_id in enumerate(("first", "third")):
        file = tmp_path / "wandb" / f"offline-run-2026010{number + 1}_000000-{trial_id}" / f"run-{trial_id}.wandb"
        file.parent.mkdir(parents=True)
        file.write_text("some of W&B's records")
    synced_mark(file).touch()
    return folder


def test_the_view_is_saved_and_its_successor_replaces_it(
    server: WandbServer, folder: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    url = save_workspace(folder.path)
    ((name, view),) = server.views.items()
    assert url == f"{server.url}/someone/p?nw={name.removeprefix('nw-').removesuffix('-v')}"
    assert (view["entityName"], view["projectName"], view["type"]) == ("someone", "p", "project-view")
    assert "Parameter Importance" in view["spec"]
    assert "W&B: 1 of 2 runs are not there yet" in capsys.readouterr().err

    conclude(folder, "first")
    assert save_workspace(folder.path) == url
    ((_, again),) = server.views.items()
    assert again["id"] == f"id-{name}"
    assert "On held-out speech" not in view["spec"]
    assert len(json.loads(again["spec"])["section"]["panelBankConfig"]["sections"]) == 3

    again["spec"] = '{"version": 9}'  # the app has brought it up to date
    server.views[name] = again
    new = save_workspace(folder.path)
    assert new != url
    server.views.clear()  # somebody has deleted it
    assert save_workspace(folder.path) not in (url, new)
    assert len(server.views) == 1
    secret = KEY.encode()
    assert not [path for path in folder.path.rglob("*") if path.is_file() and secret in path.read_bytes()]
    assert secret not in server.received


def test_a_view_that_wandb_does_not_take_is_told(server: WandbServer, folder: RunFolder) -> None:
    server.refused_operations = {"UpsertView2"}
    with pytest.raises(
        WandbError, match=r"must take the view of p, and does not \(.+\)\. The same again: stt-tune wan"
    ):
        save_workspace(folder.path)
    assert not server.views


def test_a_view_needs_wandb_with_a_key_and_within_reach(
    server: WandbServer, folder: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.failure = "401"
    with pytest.raises(WandbError, match=r"must be within reach to save a view, and is not \(.*401.*later, the same"):
        save_workspace(folder.path)
    monkeypatch.delenv("WANDB_API_KEY")
    monkeypatch.setenv("HOME", str(tmp_path))
    wandb.teardown()
    with pytest.raises(SettingsError, match=r"a key must be configured to save a view, and there is none\. Call"):
        save_workspace(folder.path)


def test_a_view_needs_runs_that_are_in_wandb(folder: RunFolder, tmp_path: Path) -> None:
    for mark in folder.path.glob("wandb/*/*.synced"):
        mark.unlink()
    with pytest.raises(SettingsError, match=r"none of 2 is there yet\. First: stt-tune wandb-sync"):
        save_workspace(folder.path)
    with pytest.raises(SettingsError, match=r"must be a sweep whose trials are W&B runs, and by its run\.json W&B"):
        save_workspace(make_folder(tmp_path / "off", mode="disabled").path)
    with pytest.raises(SettingsError, match="must be the folder of a run"):
        save_workspace(tmp_path / "nothing")


def test_a_view_needs_the_extra(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb_workspaces", None)
    with pytest.raises(SettingsError, match=r"Install it: pip install 'stt-tune\[workspace\]'"):
        save_workspace(folder.path)
