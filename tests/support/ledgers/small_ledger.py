"""A small ledger by hand, of three days in spring: the ways an attempt can end and cost, in figures to add up by head.

Money is in nano-dollars here, as it is in the database.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, insert, text

from models.money.pricing import NANO_USD
from models.schema.attempt import Attempt
from models.schema.batch import Batch
from models.schema.budget import BudgetRow
from models.schema.correction import Correction
from models.schema.job import AnswerRow, Job

OPUS, SONNET, HAIKU, SERVED = "claude-opus-4-7", "claude-sonnet-4-6", "claude-haiku-4-5", "claude-sonnet-4-6-20260217"
_PARTS = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output", "web_search")


def book(engine: Engine) -> None:
    """Write it all down."""
    with engine.begin() as connection:
        for batch, name, task in (("news", "News", "summarize"), ("odd", None, None)):
            row = {"id": batch, "name": name, "task": task, "tags": {"team": "media"}, "job_count": 6}
            connection.execute(insert(Batch).values(created_at=_at("03-30 08:00:00"), **row))
        _book_jobs(connection)
        _book_attempts(connection)
        _book_corrections(connection)
        for job, attempt, is_truncated in _ANSWERS:
            row = {"job_id": job, "attempt_id": attempt, "message": {}, "is_truncated": is_truncated}
            connection.execute(insert(AnswerRow).values(created_at=_at("03-31 09:00:00"), **row))
        cap = {"cap": 500, "spent": 13, "unknown": 120, "reserved": 0}
        money = {f"{kind}_nano_usd": usd(nano * 1_000_000) for kind, nano in cap.items()}
        connection.execute(insert(BudgetRow).values(scope="batch:news", day="", **money))
        connection.execute(text("UPDATE thresholds SET value = 2 WHERE name = 'health_min_jobs'"))


def usd(nano: int | None) -> Any:
    """Turn nano-dollars into what a row takes."""
    return None if nano is None else nano * NANO_USD


def attempt_row(attempt: str, job: str, batch: str | None, opened: str, **changes: Any) -> dict[str, Any]:
    """Lay out an attempt that was answered by Opus."""
    row = {
        "id": attempt,
        "job_id": job,
        "batch_id": batch,
        "task": "summarize" if batch == "news" else None,
        "attempt_no": 1,
        "rung": 0,
        "fallback_depth": 0,
        "reason": "start",
        "endpoint": "anthropic",
        "requested_model": OPUS,
        "served_model": OPUS,
        "outcome": "answered",
        "opened_at": _at(opened),
        "closed_at": _at(opened),
        "latency_ms": 1000,
        "cost_status": "exact",
        "price_source": "by hand",
        "worker": "here",
        "lease_token": 1,
    }
    return {name: usd(value) if name.endswith("_nano_usd") else value for name, value in (row | changes).items()}


def _book_jobs(connection: Connection) -> None:
    for number, (job, batch, state, outcome, finished, model_used, depth, changes) in enumerate(_JOBS, start=1):
        row = {
            "id": job,
            "batch_id": batch,
            "seq": number,
            "prompt_id": f"doc-{number}",
            "task": "summarize" if batch == "news" else None,
            "params": {"secret": "prompt"},
            "columns": {"secret": "column"},
            "start_model": OPUS,
            "start_rung": 0,
            "floor_rung": 2,
            "ceiling_rung": 0,
            "state": state,
            "outcome": outcome,
            "error": "secret: what the provider said",
            "rung": 0,
            "given_up": {},
            "deadline_at": _at("04-02 00:00:00"),
            "created_at": _at("03-30 08:00:00"),
            "finished_at": None if finished is None else _at(finished),
            "model_used": model_used,
            "fallback_depth": depth,
        }
        sent = {"sent_at": row["created_at"]} if state == "running" else {}
        connection.execute(insert(Job).values(**(row | sent | changes)))


def _book_attempts(connection: Connection) -> None:
    for attempt, job, batch, opened, changes in _ATTEMPTS:
        connection.execute(insert(Attempt).values(**attempt_row(attempt, job, batch, opened, **changes)))


def _book_corrections(connection: Connection) -> None:
    for attempt, number, was, cost, parts in _CORRECTIONS:
        money = {"was_nano_usd": usd(was), "cost_nano_usd": usd(cost)} | _parts(*parts)
        key = {"id": f"{attempt}-{number}", "attempt_id": attempt, "number": number, "price_source": "corrected"}
        connection.execute(insert(Correction).values(made_at=_at("04-05 00:00:00"), **key, **money))


def _at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-{text}").replace(tzinfo=UTC)


def _parts(*nano: int) -> dict[str, Any]:
    return {f"{name}_nano_usd": usd(part) for name, part in zip(_PARTS, nano, strict=False)} if nano else {}


def _priced(cost: int, *parts: int, tokens: tuple[int, int] = (1000, 200), **more: Any) -> dict[str, Any]:
    """Lay out a known cost; its parts as they are listed, the others nothing."""
    split = {f"{name}_nano_usd": 0 for name in _PARTS} if parts else {}
    split |= {f"{name}_nano_usd": part for name, part in zip(_PARTS, parts, strict=False)}
    kinds = ("cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens", "web_searches")
    counts = {"input_tokens": tokens[0], "output_tokens": tokens[1], **dict.fromkeys(kinds, 0)}
    return {"cost_nano_usd": cost, **split, **counts, **more}


def _left(rung: int, *reasons: str) -> dict[str, Any]:
    """Lay out where a job was answered, and why each rung before was given up."""
    return {"rung": rung, "given_up": {str(left): reason for left, reason in enumerate(reasons)}}


def _unknown(outcome: str | None, **more: Any) -> dict[str, Any]:
    nothing = {"cost_status": "unknown", "price_source": None, "served_model": None, "latency_ms": None}
    return {"outcome": outcome, **nothing, **more}


_OPEN = {"closed_at": None}
_FREE = {"cost_nano_usd": 0, "cost_status": "free", "price_source": None, "served_model": None, "latency_ms": 30}
_SECOND = {
    "attempt_no": 2,
    "fallback_depth": 1,
    "reason": "fallback",
    "requested_model": SONNET,
    "served_model": SONNET,
}
_ON_HAIKU = {"requested_model": HAIKU, "served_model": HAIKU}

# id, batch, state, outcome, finished, model used, depth, and what else is special.
_JOBS: tuple[tuple[str, str | None, str, str | None, str | None, str | None, int | None, dict[str, Any]], ...] = (
    ("plain", "news", "succeeded", "answered", "03-31 00:00:05", OPUS, 0, {}),
    ("fell", "news", "succeeded", "answered", "03-30 12:00:00", SONNET, 1, _left(1, "overloaded")),
    ("cut-then-better", "news", "succeeded", "answered", "03-30 13:00:00", SONNET, 1, _left(1, "truncated")),
    ("cut", "news", "succeeded", "truncated", "03-31 09:00:00", HAIKU, 2, _left(2, "timed_out", "limited")),
    ("too-dear", "news", "failed", "over_budget", "03-31 10:00:00", None, None, {}),
    ("held", "news", "waiting", "unknown", None, None, None, {}),
    ("unpriced", "odd", "succeeded", "answered", "04-01 09:00:00", SERVED, 0, {"start_model": None}),
    ("in-flight", "odd", "running", None, None, None, None, {}),
    ("cancelled", "odd", "cancelled", None, "04-01 10:00:00", None, None, {}),
    ("refused", "odd", "failed", "refused", "04-01 11:00:00", None, None, {}),
    ("purged", "odd", "succeeded", "answered", "04-01 12:00:00", HAIKU, 0, {"purged_at": _at("05-01 00:00:00")}),
    ("alone", None, "failed", "cut", "04-01 13:00:00", None, None, {}),
)
# id, job, batch, opened, and what else is special.
_ATTEMPTS: tuple[tuple[str, str, str | None, str, dict[str, Any]], ...] = (
    ("a1", "plain", "news", "03-30 23:59:59.999999", _priced(10_000_000, 5_000_000, 0, 0, 0, 5_000_000)),
    ("a2", "fell", "news", "03-30 11:00:00", _FREE | {"outcome": "overloaded", "error_type": "overloaded_error"}),
    ("a3", "fell", "news", "03-30 11:30:00", _SECOND | _priced(3_000_001, 1_000_001, 0, 0, 0, 2_000_000)),
    ("a4", "cut-then-better", "news", "03-30 12:00:00", {"outcome": "truncated"} | _priced(2_000_000, 2_000_000)),
    ("a5", "cut-then-better", "news", "03-30 12:30:00", _SECOND | _priced(1_000_000, 1_000_000)),
    ("a6", "cut", "news", "03-31 08:00:00", _unknown("timed_out", reserved_nano_usd=50_000_000)),
    (
        "a7",
        "cut",
        "news",
        "03-31 08:30:00",
        _SECOND
        | _ON_HAIKU
        | {"outcome": "truncated", "fallback_depth": 2, "stop_reason": "max_tokens"}
        | _priced(20_500_003, 100_000, 100_001, 100_002, 100_000, 100_000, 20_000_000)
        | {"cache_read_tokens": 7, "cache_write_5m_tokens": 8, "cache_write_1h_tokens": 9, "web_searches": 2},
    ),
    ("a8", "held", "news", "03-31 10:00:00", _OPEN | _unknown("unknown", reserved_nano_usd=70_000_000)),
    (
        "a9",
        "unpriced",
        "odd",
        "04-01 08:00:00",
        _unknown("answered", input_tokens=10, output_tokens=20) | {"requested_model": SONNET, "served_model": SERVED},
    ),
    ("a10", "in-flight", "odd", "04-01 09:00:00", _OPEN | _unknown(None, reserved_nano_usd=1_000_000)),
    ("a11", "cancelled", "odd", "04-01 10:00:00", {"outcome": "late"} | _priced(9_000_000)),
    ("a12", "refused", "odd", "04-01 11:00:00", {"outcome": "refused"} | _priced(300_000, 300_000)),
    ("a13", "purged", "odd", "04-01 12:00:00", _ON_HAIKU | _priced(100_000, 100_000, latency_ms=3000)),
    ("a14", "alone", None, "04-01 13:00:00", _unknown("cut", error_type="api_connection_error")),
)
# attempt, number, was, is, parts.
_CORRECTIONS: tuple[tuple[str, int, int | None, int, tuple[int, ...]], ...] = (
    ("a3", 1, 3_000_001, 4_000_000, ()),
    ("a3", 2, 4_000_000, 6_000_000, (2_000_000, 0, 0, 0, 4_000_000, 0)),
    ("a9", 1, None, 7_000_000, ()),
)
_ANSWERS = (
    ("plain", "a1", False),
    ("fell", "a3", False),
    ("cut-then-better", "a5", False),
    ("cut", "a7", True),
    ("unpriced", "a9", False),
)
