from __future__ import annotations

import re

import pytest

from stt_tune.errors import SettingsError
from stt_tune.run.project import choose_project
from stt_tune.run.settings import TuneSettings
from stt_tune.run.tune import check_fits
from stt_tune.sweep.config import SweepConfig


def test_the_first_name_that_is_given_is_the_project() -> None:
    assert choose_project("offline", None, "digits", "others") == "digits"
    assert choose_project("offline", None, None) == "stt-tune"


@pytest.mark.parametrize("name", ["team/digits", "a:b", "a\\b", "a#b", "a?b", "a%b", "x" * 129])
def test_a_project_that_wandb_refuses_is_told_before_the_run_begins(name: str) -> None:
    sweep = SweepConfig.from_dict({"method": "random", "parameters": {"dropout": {"min": 0.0, "max": 0.5}}})
    told = f"without any of / \\ # ? % :, found {name!r}. Name the project alone; whose it is, `entity:` in the sweep"
    with pytest.raises(SettingsError, match=re.escape(told)):
        check_fits(sweep, TuneSettings("d.jsonl", "tiny.en", wandb_project=name))
    check_fits(sweep, TuneSettings("d.jsonl", "tiny.en", wandb_project=name, wandb="disabled"))
