from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from stt_tune.results.merging import merge_config

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
