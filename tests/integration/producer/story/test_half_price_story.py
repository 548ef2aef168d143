"""The story of a half-price job from a real ledger: its message batch, the way to live calls, a second answer."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine

from models.reports.jobs import Reports
from producer.story.rows import job_record
from producer.story.story import story, story_json
from tests.support.ledgers.half_price_lane import book_lane
from tests.support.ledgers.story_rows import MODELS, one_line

_SINCE = datetime(2026, 11, 23, 12, tzinfo=UTC)
_ITEM = "1. asked opus-4-7 (at half price, in message batch msgbatch_1 of 2 requests, created 12:01:00):"
_STRAY = _ITEM.replace("msgbatch_1", "msgbatch_3").replace("12:01:00", "12:03:00")
_OPEN = _ITEM.replace("msgbatch_1", "msgbatch_2").replace("12:01:00", "12:02:00")
_CANCELLED = "its message batch was cancelled before the request ran, so nothing was bought (canceled); $0.00 (free)"
_LATE = "its message batch ended after the job had gone on, so its answer was not used after 1.0 s;"
# Of each job: sentences of its story, in their order.
_STORIES: dict[str, tuple[str, ...]] = {
    "bought": ("at half price, if a message batch answers in time", f"{_ITEM} it answered after 1.0 s; $0.001"),
    "too-late": (
        f"{_ITEM} {_CANCELLED}",
        "moved to live calls: the switch time had come",
        "2. asked opus-4-7 live: it answered after 1.0 s; $0.003",
    ),
    "expired": (
        f"{_ITEM} its message batch expired before the request ran, so nothing was bought (expired); $0.00 (free)",
        "moved to live calls: its message batch expired before the request ran",
        "2. asked opus-4-7 live",
    ),
    "lost": (
        f"{_STRAY} no list of the provider showed its message batch, so nothing was bought (lost); $0.00 (free)",
        "moved to live calls: no list of the provider showed its message batch",
        "2. asked opus-4-7 live: it answered after 1.0 s; $0.003",
        f"3. found an answer of opus-4-7 that had been taken for lost {_STRAY[18:]} {_LATE} $0.0007",
    ),
    "both": (
        f"{_ITEM} {_LATE} $0.0009",
        "moved to live calls: the switch time had come",
        "2. asked opus-4-7 live: it answered after 1.0 s; $0.003",
    ),
    "item-first": (
        f"{_ITEM} it answered after 1.0 s; $0.0005",
        "moved to live calls: the switch time had come",
        "2. asked opus-4-7 live: it ended after the job had gone to somebody else, so its answer was not used",
    ),
    "under-way": (
        f"{_OPEN} no end was seen yet; cost not known yet",
        "waits for its message batch, at half price: due now",
    ),
    "to-pack": ("waits for a place in a message batch, at half price: due now",),
}


@pytest.mark.parametrize("name", _STORIES)
def test_a_job_tells_its_message_batch_and_its_way_to_live_calls(engine: Engine, name: str) -> None:
    book_lane(engine, since=_SINCE)
    reports = Reports(engine)
    text = one_line([*story(job_record(f"night-{name}", reports), MODELS)])
    places = [text.find(sentence) for sentence in _STORIES[name]]
    assert -1 not in places, text
    assert places == sorted(places), text
    assert "by a person" not in text
    assert text.count("moved to live calls") == any("moved" in sentence for sentence in _STORIES[name])


def test_as_json_a_job_has_its_message_batches(engine: Engine) -> None:
    book_lane(engine, since=_SINCE)
    assert '"provider_id": "msgbatch_1"' in story_json(job_record("night-bought", Reports(engine)))
