"""Seeds that every library takes, those of trainings anew among them."""

from __future__ import annotations

import pytest
import torch
from transformers import set_seed

from stt_tune.errors import SettingsError
from stt_tune.run.seeds import MOST_SEED, check_seed
from stt_tune.run.settings import TuneSettings


def test_the_greatest_seed_leaves_room_for_those_that_are_fresh() -> None:
    state = torch.random.get_rng_state()
    fresh = TuneSettings("d", "tiny.en", seed=MOST_SEED).fresh_seeds(100_000)
    set_seed(fresh[-1])
    torch.random.set_rng_state(state)
    assert check_seed(MOST_SEED) == MOST_SEED < fresh[0]


@pytest.mark.parametrize("seed", [-1, MOST_SEED + 1, 2**32 - 1, 2**70])
def test_a_seed_that_trainings_cannot_take_is_refused(seed: int) -> None:
    with pytest.raises(SettingsError, match=f"--seed must be from 0 to {MOST_SEED}, found {seed}"):
        TuneSettings("d", "tiny.en", seed=seed)
    with pytest.raises(SettingsError, match=f"--seed must be from 0 to {MOST_SEED}, found {seed}"):
        check_seed(seed)
