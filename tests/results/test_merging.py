from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stt_tune.results.merging import merge_config
from stt_tune.sweep.nesting import flatten

_FLAT = st.dictionaries(st.sampled_from("abcd"), st.one_of(st.none(), st.integers(), st.text(max_size=2)))
_NESTED = st.dictionaries(st.sampled_from("abcd"), st.one_of(st.integers(), _FLAT))


@given(_FLAT, _FLAT)
def test_flat_parameters_merge_as_dicts_do(optimal: dict[str, Any], params: dict[str, Any]) -> None:
    merged = merge_config(optimal, params)
    assert merged == {**optimal, **params}
    assert list(merged) == list({**optimal, **params})
    assert json.loads(json.dumps(merged)) == merged
    assert merged.sources == {name: "explicit" if name in params else "optimal_config" for name in merged}


@given(_NESTED, _NESTED)
def test_groups_merge_name_by_name(optimal: dict[str, Any], params: dict[str, Any]) -> None:
    before = json.dumps([optimal, params])
    merged = merge_config(optimal, params)
    for name in {**optimal, **params}:
        old, new = optimal.get(name), params.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            assert merged[name] == {**old, **new}
        else:
            assert merged[name] == (new if name in params else old)
    assert json.dumps([optimal, params]) == before


@pytest.mark.parametrize(
    ("optimal", "params", "merged"),
    [
        ({"epochs": 5, "warmup_ratio": 0.1}, {"warmup_steps": 50}, {"epochs": 5, "warmup_steps": 50}),
        ({"epochs": 5, "warmup_steps": 50}, {"warmup_ratio": 0.1}, {"epochs": 5, "warmup_ratio": 0.1}),
        ({"warmup_steps": 50, "epochs": 5}, {"warmup_steps": 0}, {"warmup_steps": 0, "epochs": 5}),
        ({"warmup_steps": 50}, {"epochs": 5}, {"warmup_steps": 50, "epochs": 5}),
        (
            {"schedule": {"warmup_steps": 50, "kind": "linear"}},
            {"schedule": {"warmup_ratio": 0.1}},
            {"schedule": {"kind": "linear", "warmup_ratio": 0.1}},
        ),
    ],
)
def test_an_explicit_warm_up_takes_the_place_of_the_other_one(
    optimal: dict[str, Any], params: dict[str, Any], merged: dict[str, Any]
) -> None:
    found = merge_config(optimal, params)
    assert found == merged
    assert list(found) == list(merged)
    assert found.sources.keys() == flatten(merged).keys()


def test_what_is_merged_into_is_called_as_asked() -> None:
    merged = merge_config({"epochs": 5, "adam": {"beta1": 0.9}}, {"adam": {"beta2": 0.98}}, source="default")
    assert merged.sources == {"epochs": "default", "adam.beta1": "default", "adam.beta2": "explicit"}
