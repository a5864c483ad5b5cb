"""Which trials are begun again, and which nodes are set aside."""

from __future__ import annotations

from pathlib import Path

import pytest

from stt_tune.run.faults import ERROR, LOSS, MOST_LOSSES, PREEMPTION, Faults, read_faults


def _faults(folder: Path, *nodes: str) -> Faults:
    return Faults(folder / "faults.jsonl", lambda: nodes)


def _fail(faults: Faults, trial: str, node: str | None, kind: str) -> bool:
    return faults.is_retried(trial, f"trial-{trial}", node, "it died", kind)


def test_a_trial_that_is_lost_too_often_without_an_epoch_between_has_failed(tmp_path: Path) -> None:
    faults = _faults(tmp_path, "a")
    assert [_fail(faults, "t", "a", LOSS) for _time in range(MOST_LOSSES)] == [True] * (MOST_LOSSES - 1) + [False]


def test_an_epoch_between_losses_forgives_them_but_not_one_that_is_told_again(tmp_path: Path) -> None:
    faults = _faults(tmp_path, "a")
    for epoch in (1, 2, 3, 4):
        assert _fail(faults, "t", "a", LOSS)
        faults.heard("t", "a", epoch)
    for _time in range(MOST_LOSSES - 1):
        assert _fail(faults, "t", "a", LOSS)
        faults.heard("t", "a", 4)
    assert not _fail(faults, "t", "a", LOSS)


def test_a_trial_that_is_lost_twice_on_a_node_where_others_do_well_goes_to_another(tmp_path: Path) -> None:
    faults = _faults(tmp_path, "small", "large")
    assert _fail(faults, "t", "small", LOSS)
    assert faults.excluded("t") == set()
    faults.heard("another", "small", 1)
    assert _fail(faults, "t", "small", LOSS)
    assert faults.excluded("t") == {"small"}
    assert faults.excluded("another") == set()
    faults.heard("t", "large", 1)
    assert faults.excluded("t") == set()


def test_a_trial_that_is_lost_again_and_again_stays_where_there_is_no_other_node(tmp_path: Path) -> None:
    faults = _faults(tmp_path, "a")
    assert _fail(faults, "t", "a", LOSS)
    assert _fail(faults, "t", "a", LOSS)
    assert faults.excluded("t") == set()


def test_preempted_trials_are_begun_again_however_often(tmp_path: Path) -> None:
    faults = _faults(tmp_path, "a", "b")
    assert all(_fail(faults, "t", "a", PREEMPTION) for _time in range(9))
    assert faults.excluded() == set()


def test_an_error_of_the_training_is_tried_on_another_node_where_there_is_one(tmp_path: Path) -> None:
    assert not _fail(_faults(tmp_path, "a"), "t", "a", ERROR)
    assert not _fail(_faults(tmp_path, "a", "b"), "t", None, ERROR)
    faults = _faults(tmp_path, "a", "b")
    assert _fail(faults, "t", "a", ERROR)
    assert faults.excluded("t") == {"a"}
    assert faults.excluded("another") == set()
    assert not _fail(faults, "t", "b", ERROR)


def test_an_error_that_comes_on_a_second_node_is_that_of_the_trial_however_many_there_are(tmp_path: Path) -> None:
    faults = _faults(tmp_path, "a", "b", "c", "d")
    assert [_fail(faults, "t", node, ERROR) for node in ("a", "b")] == [True, False]
    assert faults.excluded("t") == {"a", "b"}


def test_a_node_on_which_three_trials_in_a_row_fail_is_set_aside(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    faults = _faults(tmp_path, "bad", "good")
    for trial in ("1", "2"):
        assert _fail(faults, trial, "bad", ERROR)
    faults.heard("3", "bad", 1)
    for trial in ("4", "5"):
        assert _fail(faults, trial, "bad", LOSS)
        assert faults.excluded() == set()
    assert _fail(faults, "6", "bad", ERROR)
    assert faults.excluded() == {"bad"}
    assert "node bad: 3 trials in a row failed there; it gets no more of this sweep" in capsys.readouterr().err


def test_the_last_node_is_not_set_aside_and_one_that_is_left_alone_is_used(tmp_path: Path) -> None:
    nodes = ["bad", "good"]
    faults = Faults(tmp_path / "faults.jsonl", lambda: nodes)
    for trial in ("1", "2", "3"):
        _fail(faults, trial, "bad", ERROR)
    for trial in ("4", "5", "6"):
        _fail(faults, trial, "good", ERROR)
    assert faults.excluded() == {"bad"}
    nodes.remove("good")
    assert faults.excluded() == set()


def test_the_log_says_what_happened_and_what_was_done(tmp_path: Path) -> None:
    faults = _faults(tmp_path, "bad", "good")
    for trial in ("1", "2", "3"):
        _fail(faults, trial, "bad", ERROR)
    entries = read_faults(tmp_path / "faults.jsonl")
    assert [(each.get("trial"), each["node"], each["outcome"]) for each in entries] == [
        ("trial-1", "bad", "retried"),
        ("trial-2", "bad", "retried"),
        (None, "bad", "set aside"),
        ("trial-3", "bad", "retried"),
    ]
    with (tmp_path / "faults.jsonl").open("a") as log:
        log.write('{"at": "20')
    assert read_faults(tmp_path / "faults.jsonl") == entries
    assert read_faults(tmp_path / "none.jsonl") == []
