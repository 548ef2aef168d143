"""What `stepdown submit` says of a task that TASK_STARTS does not know."""

import pytest

from producer.client import Batch
from producer.commands.submit import hints

SENT = Batch("b", None, is_new=True)  # type: ignore[arg-type]


def test_a_task_that_is_not_among_the_starts_is_told_with_those_that_are() -> None:
    assert list(hints(SENT, None, task="sumarize", starts={"summarize": 2, "map": 1})) == [
        "TASK_STARTS has no task 'sumarize', so these start on the primary; it has 'summarize', 'map'"
    ]


@pytest.mark.parametrize(("task", "starts"), [("summarize", {"summarize": 2}), (None, {"summarize": 2}), ("any", {})])
def test_a_known_task_no_task_and_a_mere_label_need_no_hint(task: str | None, starts: dict[str, int]) -> None:
    assert list(hints(SENT, None, task=task, starts=starts)) == []
