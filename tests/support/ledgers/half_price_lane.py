"""A batch at half price by hand: an answer, each way to live calls, answers bought twice, and jobs still under way.

Money is in nano-dollars here, as it is in the database.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, insert

from models.schema.attempt import Attempt
from models.schema.batch import Batch
from models.schema.job import Job
from models.schema.message_batch import MessageBatch
from tests.support.ledgers.small_ledger import HAIKU, OPUS, attempt_row

BATCH, BOUGHT, OPEN, STRAY = "night", "mb-bought", "mb-open", "mb-stray"
_ITEM: dict[str, Any] = {"message_batch_id": BOUGHT, "service_tier": "batch", "web_search_nano_usd": 0}
_LIVE: dict[str, Any] = {"attempt_no": 2, "reason": "late", "cost_nano_usd": 3_000_000, "service_tier": "standard"}
_FREE: dict[str, Any] = {"cost_nano_usd": 0, "cost_status": "free", "served_model": None, "service_tier": None}
_NOT_RUN = {**_ITEM, **_FREE, "outcome": "not_run", "latency_ms": 0}
_UNSEEN: dict[str, Any] = {"outcome": None, "closed_at": None, "latency_ms": None, "served_model": None}

# Each job: its state and outcome, and its attempts.
_JOBS: dict[str, tuple[str, str | None, tuple[dict[str, Any], ...]]] = {
    "bought": ("succeeded", "answered", ({**_ITEM, "cost_nano_usd": 1_000_000, "web_search_nano_usd": 200_000},)),
    "too-late": ("succeeded", "answered", ({**_NOT_RUN, "error_type": "canceled"}, _LIVE)),
    "expired": ("succeeded", "answered", ({**_NOT_RUN, "error_type": "expired"}, _LIVE)),
    "errored": (
        "succeeded",
        "answered",
        (
            {**_ITEM, **_FREE, "outcome": "overloaded", "http_status": 529, "error_type": "overloaded_error"},
            {**_LIVE, "reason": "resume"},
        ),
    ),
    "lost": (
        "succeeded",
        "answered",
        (
            {**_NOT_RUN, "error_type": "lost", "message_batch_id": STRAY},
            _LIVE,
            {
                **_ITEM,
                "attempt_no": 3,
                "reason": "late",
                "outcome": "late",
                "cost_nano_usd": 700_000,
                "message_batch_id": STRAY,
                "note": "night-lost-1",
            },
        ),
    ),
    "both": ("succeeded", "answered", ({**_ITEM, "outcome": "late", "cost_nano_usd": 900_000}, _LIVE)),
    "item-first": (
        "succeeded",
        "answered",
        (
            {**_ITEM, "cost_nano_usd": 500_000, "service_tier": "standard"},
            {**_LIVE, "outcome": "late", "cost_nano_usd": 4_000_000},
        ),
    ),
    "under-way": ("waiting", "message_batch", ({**_ITEM, **_FREE, **_UNSEEN, "message_batch_id": OPEN},)),
    "to-pack": ("waiting", "half_price", ()),
    "cancelled": ("cancelled", None, ({**_ITEM, "outcome": "late", "cost_nano_usd": 300_000},)),
}


def book_lane(engine: Engine, *, since: datetime | None = None) -> datetime:
    """Write the batch down; its message batches were created some minutes after `since`, by default an hour ago."""
    start = since or (datetime.now(UTC) - timedelta(hours=1)).replace(microsecond=0)
    with engine.begin() as connection:
        row: dict[str, Any] = {"id": BATCH, "name": "Night", "task": None, "tags": {}, "job_count": len(_JOBS)}
        connection.execute(insert(Batch).values(created_at=start, **row))
        for number, (known, sent, ended, cancelled) in enumerate(
            ((BOUGHT, 60, 660, None), (OPEN, 120, None, None), (STRAY, 180, 3300, 1980)), start=1
        ):
            times = {"sent_at": sent, "ended_at": ended, "cancelled_at": cancelled}
            book_message_batch(connection, known, start, provider_id=f"msgbatch_{number}", **times)
        for seq, (name, (state, outcome, attempts)) in enumerate(_JOBS.items(), start=1):
            _book_job(connection, seq, name, state, outcome, start)
            for number, changes in enumerate(attempts, start=1):
                _book_attempt(connection, name, number, start, changes)
    return start


def book_message_batch(connection: Connection, known: str, start: datetime, **changes: Any) -> None:
    """Write a message batch of Opus down. Its times are in seconds after `start`."""
    row: dict[str, Any] = {
        "id": known,
        "namespace": "key",
        "model": OPUS,
        "headers": {},
        "size": 2,
        "state": "under_way" if changes.get("ended_at") is None else "done",
        "is_proven": True,
        "not_ours": [],
        "made_at": 0,
        "switch_at": 7200,
        "look_at": 3600 if changes.get("ended_at") is None else None,
        **changes,
    }
    for name in ("made_at", "sent_at", "switch_at", "cancelled_at", "ended_at", "look_at"):
        row[name] = None if row.get(name) is None else start + timedelta(seconds=row[name])
    connection.execute(insert(MessageBatch).values(**row))


def _book_job(connection: Connection, seq: int, name: str, state: str, outcome: str | None, start: datetime) -> None:
    row: dict[str, Any] = {
        "id": f"night-{name}",
        "batch_id": BATCH,
        "seq": seq,
        "prompt_id": name,
        "params": {"max_tokens": 100, "messages": [{"role": "user", "content": "secret"}]},
        "columns": {},
        "start_model": OPUS,
        "start_rung": 0,
        "floor_rung": 2,
        "ceiling_rung": 0,
        "lane": "half_price",
        "state": state,
        "outcome": outcome,
        "rung": 0,
        "given_up": {},
        "deadline_at": start + timedelta(days=1),
        "created_at": start,
        "due_at": start + timedelta(seconds=7500) if state == "waiting" else None,
        "finished_at": None if state == "waiting" else start + timedelta(seconds=3400),
        "model_used": OPUS if state == "succeeded" else None,
        "fallback_depth": 0 if state == "succeeded" else None,
    }
    connection.execute(insert(Job).values(**row))


def _book_attempt(connection: Connection, name: str, number: int, start: datetime, changes: dict[str, Any]) -> None:
    opened = start + timedelta(seconds=1800 * (number - 1) + 30)
    row = attempt_row(f"night-{name}-{number}", f"night-{name}", BATCH, "03-30 08:00:00", **changes)
    row |= {
        "attempt_no": number,
        "lease_token": number,
        "task": None,
        "opened_at": opened,
        "closed_at": opened + timedelta(seconds=90),
    }
    if changes.get("outcome", "") is None:
        row |= {"closed_at": None, "cost_nano_usd": None, "cost_status": "unknown"}
    connection.execute(insert(Attempt).values(**row))


def other_model(engine: Engine, start: datetime, *took_s: int) -> None:
    """Write message batches of Haiku down that took so long."""
    with engine.begin() as connection:
        for number, seconds in enumerate(took_s):
            times = {"sent_at": 0, "ended_at": seconds}
            book_message_batch(connection, f"mb-haiku-{number}", start, model=HAIKU, **times)
