from __future__ import annotations

import pytest

from stt_tune.results.trials import TrialTable
from stt_tune.run.spent import Spent
from stt_tune.run.standing import Standing
from stt_tune.sweep.metric import Metric
from tests.run.trials import make_trial


def _stand(spent: Spent, limit_s: float | None = None, unfinished: str = "running") -> Standing:
    trials = [make_trial(0, "completed", 0.5), make_trial(1, "stopped_early", 0.1), make_trial(2, "interrupted", 0.2)]
    return Standing(TrialTable(("wer",), trials), Metric(), 10, spent, limit_s, unfinished)


@pytest.mark.parametrize(
    ("spent", "limit_s", "left_s"),
    [
        (Spent(), None, None),
        (Spent(50), None, None),  # nothing has ended yet
        (Spent(50), 300, 250),
        (Spent(50, 0, 2), None, 200),
        (Spent(50, 0, 2), 120, 70),
        (Spent(500, 0, 2), 120, 0),
        (Spent(50, 0, 1), None, 400),  # one of the two was an earlier run's
    ],
)
def test_the_time_left_follows_from_trials_that_ended_and_the_budget(
    spent: Spent, limit_s: float | None, left_s: float | None
) -> None:
    assert _stand(spent, limit_s).left_s == left_s


def test_a_sweep_that_is_done_has_no_time_left() -> None:
    assert Standing(TrialTable(("wer",), [make_trial(0, "completed", 0.5)]), Metric(), 1).left_s == 0


def test_where_nothing_runs_trials_without_end_are_interrupted() -> None:
    standing = _stand(Spent(50, 0, 2), unfinished="interrupted")
    assert standing.describe_trials() == "2 of 10 trials done (1 completed, 1 stopped early, 1 interrupted)"
    assert standing.describe_time() == "50 s spent"
    assert standing.to_dict() == {
        "num_trials": 10,
        "done": 2,
        "trials": {"completed": 1, "stopped_early": 1, "interrupted": 1},
        "metric": "wer",
        "best": {"trial": 0, "trial_id": "id0", "value": 0.5},
        "default": {"trial": 0, "trial_id": "id0", "value": 0.5},
        "seconds": 50,
        "gpu_hours": 0,
        "left_s": None,
    }


def test_a_default_that_is_not_done_is_not_compared_with() -> None:
    table = TrialTable(("wer",), [make_trial(0, "interrupted", 0.5), make_trial(1, "completed", 0.25)])
    standing = Standing(table, Metric(), 2)
    assert standing.describe_best() == "best wer 0.2500"
    assert standing.to_dict()["default"] is None
    assert Standing(TrialTable(("wer",)), Metric(), 2).describe_best() == "no result yet"
