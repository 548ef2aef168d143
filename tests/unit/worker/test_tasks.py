"""The one Celery task: what its message may hold, and what a message of another version meets."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery import Celery
from celery.exceptions import Ignore

from models.queue.redis_keys import TASK_NAME
from tests.support.plays.awaited import finished
from tests.support.plays.walk_scene import Scene, scene
from worker.tasks import register

Task = Callable[..., str]


@pytest.fixture
def job() -> Scene:
    """Set up one job."""
    return scene("ok")


@pytest.fixture
def task(job: Scene) -> Iterator[Task]:
    """Register the task in an app of its own."""
    app = Celery("test", broker="memory://", set_as_current=False)
    register(app, job.worker, lane=None)  # type: ignore[arg-type]  # no task here needs one
    run_job = app.tasks[TASK_NAME]
    yield lambda **message: finished(run_job(**message))
    app.close()


def test_its_result_is_the_line_for_flower(job: Scene, task: Task) -> None:
    assert task(v=1, id=job.job_id) == "opus-4-7 d0 $0.0075"


def test_the_name_of_the_task_stays() -> None:
    assert TASK_NAME == "stepdown.run", "workers of another version would discard its messages"


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_a_message_of_another_version_is_refused(job: Scene, task: Task, version: Any) -> None:
    assert task(v=version, id=job.job_id) == f"refused: a message of version {version}, this worker reads 1"
    assert job.provider.calls == []


def test_what_a_later_version_adds_is_ignored(job: Scene, task: Task) -> None:
    assert task(v=1, id=job.job_id, rung=2, urgency="high", more={"a": [1]}) == "opus-4-7 d0 $0.0075"


@pytest.mark.parametrize("job_id", ["", None, 7, ["a"], {"a": 1}, "a\0b", "\ud800"])
def test_an_id_that_is_none_finds_no_job(job: Scene, task: Task, job_id: Any) -> None:
    with pytest.raises(Ignore, match="dropped"):
        task(v=1, id=job_id)
    assert job.provider.calls == []


@pytest.mark.parametrize("message", [{}, {"v": 1}, {"id": "job-1"}])
def test_a_message_without_version_or_id_is_an_error_and_no_call(
    job: Scene, task: Task, message: dict[str, Any]
) -> None:
    with pytest.raises(TypeError):
        task(**message)
    assert job.provider.calls == []
