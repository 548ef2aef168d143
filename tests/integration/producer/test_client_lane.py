"""The lane and the deadline of a submission: half price by the caller or the task kind, and a deadline as a time."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, func, select

from models.errors import InputError
from models.job.task_kinds import JobTerms
from models.schema.job import Job
from models.settings import load_settings
from producer import Producer, Prompt
from tests.support.ledgers.half_price_lane import book_lane, book_message_batch

_KINDS = "[tag]\nhalf_price = true\ndeadline_s = 14400\n\n[live]\nhalf_price = false\n"
_WAITS = ("waiting", "half_price", "half_price")
_LIVE = ("queued", None, None)


@pytest.fixture
def producer(database_url: str, tmp_path: Path) -> Iterator[Producer]:
    """Submit without a broker, with two task kinds that choose a lane."""
    kinds = tmp_path / "tasks.toml"
    kinds.write_text(_KINDS, encoding="utf-8")
    given: dict[str, Any] = {"database_url": database_url, "state_dir": tmp_path, "tasks_file": kinds}
    with Producer(load_settings(env_file=None, **given)) as producer:
        yield producer


def _row(producer: Producer, engine: Engine, **options: Any) -> dict[str, Any]:
    batch = producer.submit([Prompt("Why?")], **options)
    with engine.connect() as connection:
        return dict(connection.execute(select(Job.__table__).where(Job.batch_id == batch.id)).mappings().one())


def _lane(row: dict[str, Any]) -> tuple[str, str | None, str | None]:
    return (row["state"], row["outcome"], row["lane"])


@pytest.mark.parametrize(
    ("options", "lane"),
    [
        ({}, _LIVE),
        ({"half_price": True}, _WAITS),
        ({"terms": JobTerms(half_price=True)}, _WAITS),
        ({"task": "tag"}, _WAITS),
        ({"task": "tag", "half_price": False}, _LIVE),
        ({"task": "live", "half_price": True}, _WAITS),
        ({"task": "tag", "urgent": True}, _LIVE),
    ],
)
def test_the_caller_chooses_the_lane_else_the_task_kind(
    producer: Producer, engine: Engine, options: dict[str, Any], lane: tuple[str, str | None, str | None]
) -> None:
    assert _lane(_row(producer, engine, **options)) == lane


def test_a_half_price_job_goes_live_as_long_before_its_deadline_as_a_call_needs(
    producer: Producer, engine: Engine
) -> None:
    row = _row(producer, engine, task="tag")
    assert abs(row["deadline_at"] - row["created_at"] - timedelta(seconds=14_400)) < timedelta(seconds=1)
    assert abs(row["deadline_at"] - row["due_at"] - timedelta(seconds=900)) < timedelta(seconds=1)
    row = _row(producer, engine, half_price=True, terms=JobTerms(deadline_s=60))
    assert row["due_at"] - row["created_at"] < timedelta(seconds=1), "no time for a message batch"


@pytest.mark.parametrize("kind", [str, datetime.fromisoformat])
def test_a_deadline_may_be_a_time(producer: Producer, engine: Engine, kind: Any) -> None:
    by = (datetime.now(UTC) + timedelta(hours=7)).replace(microsecond=0)
    row = _row(producer, engine, half_price=True, by=kind(by.isoformat()))
    assert abs(row["deadline_at"] - by) < timedelta(seconds=5)
    assert abs(row["due_at"] - by + timedelta(seconds=900)) < timedelta(seconds=5)


def test_a_later_deadline_or_another_lane_makes_no_other_batch_under_a_key(producer: Producer) -> None:
    first = producer.submit([Prompt("Why?")], key="tide", half_price=True, by="06:00")
    again = producer.submit([Prompt("Why?")], key="tide", by="07:00")
    assert (again.id, again.is_new) == (first.id, False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"by": "soon"}, "submit: by: 'soon' should be a time such as 06:00, 2026-12-01T06:00 or 2026-12-01T06:00+"),
        ({"by": 6}, "submit: by: 6 should be a time such as"),
        ({"by": "2020-01-01T06:00Z"}, "submit: by: 2020-01-01T06:00Z is past; give a time to come"),
        ({"by": "06:00", "terms": JobTerms(deadline_s=9)}, "submit: by, terms.deadline_s: are both the deadline; "),
        ({"half_price": "yes"}, "submit: half_price: 'yes' should be true or false"),
        (
            {"half_price": True, "urgent": True},
            "submit: urgent, half_price: an urgent job never waits for a message batch; give one",
        ),
        ({"terms": JobTerms(half_price=True), "urgent": True}, "submit: urgent, half_price: "),
    ],
)
def test_a_wrong_lane_or_time_is_refused_by_its_field(
    producer: Producer, engine: Engine, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        producer.submit([Prompt("Why?")], **options)
    with engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(Job)) == 0


def test_jobs_without_the_time_for_a_message_batch_are_counted_with_the_time_that_would_do(
    producer: Producer, engine: Engine
) -> None:
    prompts = [Prompt("Why?"), Prompt("How?")]

    def line(**terms: Any) -> str | None:
        return producer.submit(prompts, terms=JobTerms(**terms)).short_of_time

    # Usually two hours, five minutes to cancel, and a quarter of an hour to be called live.
    needs = "live at the whole price: the deadline is too near for a message batch, which needs 2 h 20 min"
    assert line(half_price=True, deadline_s=8399) == f"2 jobs go {needs}"
    assert line(half_price=True, deadline_s=8400) is None
    assert line(deadline_s=60) is None
    assert (
        producer.submit(prompts[:1], task="tag", terms=JobTerms(deadline_s=60)).short_of_time == f"1 job goes {needs}"
    )
    start = book_lane(engine)
    with engine.begin() as connection:
        for number in range(20):
            times = {"sent_at": 0, "ended_at": 60 * (number + 1), "provider_id": f"msgbatch_of_{number}"}
            book_message_batch(connection, f"mb-of-{number}", start, **times)
    assert line(half_price=True, deadline_s=8399) is None  # 19 of 20 ended in half an hour
