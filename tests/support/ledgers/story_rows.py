"""Rows of one job as the ledger gives them, by hand: whole and plausible, and changed where a test is about it."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from textwrap import dedent
from typing import Any

from producer.output.terminal import wrapped
from producer.story.rows import JobRecord
from producer.story.story import story

OPUS, SONNET, HAIKU = MODELS = ("claude-opus-4-7", "claude-sonnet-4-6", "claude-haiku-4-5-20251001")
START = datetime(2026, 11, 23, 22, 54, 13, tzinfo=UTC)
PROMPT = "the customer's own words"
Row = dict[str, Any]


def at(seconds: float) -> datetime:
    """Tell a time after the job was accepted."""
    return START + timedelta(seconds=seconds)


def batch(**changes: Any) -> Row:
    """Make a batch."""
    return {"id": "0192", "name": None, "job_count": 200, "weight": 1, **changes}


def job(**changes: Any) -> Row:
    """Make a job that was answered by Sonnet after four seconds."""
    return {
        "id": "0193",
        "batch_id": "0192",
        "prompt_id": "doc-1",
        "task": None,
        "created_at": START,
        "start_model": OPUS,
        "start_rung": 0,
        "floor_rung": 2,
        "ceiling_rung": 0,
        "start_reason": None,
        "parent": None,
        "is_urgent": False,
        "lane": None,
        "patience_ms": None,
        "climb_on": None,
        "expects": None,
        "state": "succeeded",
        "outcome": "answered",
        "error": None,
        "rung": 1,
        "given_up": {},
        "rebuys": 0,
        "due_at": None,
        "sent_at": None,
        "deadline_at": at(86_400),
        "finished_at": at(4),
        "model_used": SONNET,
        "fallback_depth": 1,
        "params": {"messages": [{"role": "user", "content": PROMPT}]},
        "columns": {"title": PROMPT},
        **changes,
    }


def attempt(number: int, **changes: Any) -> Row:
    """Make an attempt on Opus that met an overload."""
    return {
        "attempt_no": number,
        "lease_token": 1,
        "message_batch_id": None,
        "reason": "start",
        "endpoint": "anthropic",
        "requested_model": OPUS,
        "served_model": None,
        "fallback_depth": 0,
        "is_probe": False,
        "waited_ms": None,
        "max_tokens": None,
        "note": None,
        "outcome": "overloaded",
        "http_status": 529,
        "error_type": "overloaded_error",
        "error_code": None,
        "retry_after_ms": None,
        "opened_at": at(number),
        "closed_at": at(number),
        "unknown_at": None,
        "latency_ms": 6,
        "input_tokens": None,
        "cache_read_tokens": None,
        "cache_write_5m_tokens": None,
        "cache_write_1h_tokens": None,
        "output_tokens": None,
        "cost_nano_usd": Decimal(0),
        "cost_status": "free",
        **changes,
    }


def good(number: int, **changes: Any) -> Row:
    """Make an attempt on Sonnet that was answered."""
    fine = {
        "reason": "fallback",
        "requested_model": SONNET,
        "served_model": SONNET,
        "fallback_depth": 1,
        "outcome": "answered",
        "http_status": 200,
        "error_type": None,
        "latency_ms": 2145,
        "input_tokens": 318,
        "cache_read_tokens": 0,
        "output_tokens": 71,
        "cost_nano_usd": Decimal("0.002019000"),
        "cost_status": "exact",
    }
    return attempt(number, **{**fine, **changes})


def lost(number: int, **changes: Any) -> Row:
    """Make an attempt whose worker was lost ten seconds after it."""
    unseen = {
        "outcome": "unknown",
        "http_status": None,
        "error_type": None,
        "closed_at": None,
        "unknown_at": at(number + 10),
        "latency_ms": None,
        "cost_nano_usd": None,
        "cost_status": "unknown",
    }
    return attempt(number, **{**unseen, **changes})


def decision(after: int, seconds: float, word: str, reason: str, **changes: Any) -> Row:
    """Make a decision about Opus that was made after so many attempts; keywords that are no column are figures."""
    row: Row = {"lease_token": 1, "number": 1, "rung": 0, "model": OPUS}
    columns = {name: changes.pop(name) for name in tuple(changes) if name in row}
    return {
        **row,
        **columns,
        "attempt_count": after,
        "at": at(seconds),
        "decision": word,
        "reason": reason,
        "details": changes,
    }


def lines(row: Row, attempts: Iterable[Row] = (), decisions: Iterable[Row] = (), **changes: Any) -> list[str]:
    """Return the lines of a job's story under the chain of three, at a terminal of 110 columns."""
    throttles = changes.pop("throttles", ())
    events = story(reported(row, attempts, decisions, **changes), MODELS, throttles)
    return [line for event in events for line in wrapped(event, 110).split("\n")]


def reported(row: Row, attempts: Iterable[Row] = (), decisions: Iterable[Row] = (), **changes: Any) -> JobRecord:
    """Put a job's rows together; the changes are its batch's."""
    of: Mapping[str, Any] | None = None if row["batch_id"] is None else batch(**changes)
    return JobRecord(now=at(4), job=row, batch=of, attempts=list(attempts), decisions=list(decisions))


def sentences_of(text: str) -> list[str]:
    """Take the lines of a story as they stand in a test, deeper by one step."""
    return dedent(text).strip("\n").splitlines()


def below_head(row: Row, *attempts: Row, decisions: tuple[Row, ...] = (), **changes: Any) -> list[str]:
    """Tell a story without its first three lines and what belongs to them: the job, the day, what was accepted."""
    job_record = lines(row, attempts, decisions, **changes)
    assert job_record[1] == "  2026-11-23 (UTC)"
    begin = next(place for place, line in enumerate(job_record[3:], start=3) if not line.startswith(" " * 12))
    return [line[2:] for line in job_record[begin:]]


def one_line(job_record: list[str]) -> str:
    """Put the lines of a story on one, as if it had not been wrapped."""
    return " ".join(" ".join(job_record).split())
