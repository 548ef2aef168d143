"""The attempt: one request sent to the API, and a line of the receipt."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
    UniqueConstraint,
    bindparam,
    false,
    literal,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from models.job.values import Claim, Closing, Opening
from models.money.pricing import Parts
from models.outcome import CostStatus, Outcome
from models.rung_name import endpoint_of
from models.schema.columns import (
    Base,
    EscapedJSON,
    Id,
    Json,
    Line,
    Money,
    NanoUSD,
    Time,
    Word,
    columns_of,
    db_now,
    shared_names,
)
from models.schema.job import Job


class Attempt(Base):
    """A row inserted and committed before the request leaves, closed once after the end, and never changed again.

    The four input counters are disjoint. Unknown is NULL, never 0. No prompt and no answer is kept here.
    """

    __tablename__ = "attempts"

    id: Mapped[Id] = mapped_column(primary_key=True)
    job_id: Mapped[Id] = mapped_column(ForeignKey("jobs.id"))
    batch_id: Mapped[Id | None]
    task: Mapped[Line | None]
    attempt_no: Mapped[int]  # from 1 within the job
    rung: Mapped[int]
    fallback_depth: Mapped[int]
    reason: Mapped[Word]
    is_probe: Mapped[bool] = mapped_column(
        default=False, server_default=false()
    )  # True for the request that tests whether its model is back
    waited_ms: Mapped[int | None]  # the time that a worker held the request for its turn, before the opening
    max_tokens: Mapped[int | None]  # as sent, if other than the job asked for
    note: Mapped[str | None] = mapped_column(Text)  # the parameters dropped or mapped to suit the model
    endpoint: Mapped[Line]  # the place of the request: anthropic, or a table of ENDPOINTS_FILE
    requested_model: Mapped[Line]
    served_model: Mapped[Line | None]
    outcome: Mapped[Word | None]  # NULL while the attempt is open
    http_status: Mapped[int | None]
    error_type: Mapped[Line | None]
    error_code: Mapped[Line | None]
    error: Mapped[str | None] = mapped_column(Text)  # the provider's words, for the person who asks; in no view
    retry_after_ms: Mapped[int | None]
    stop_reason: Mapped[Line | None]
    message_id: Mapped[Line | None]
    request_id: Mapped[Line | None]
    opened_at: Mapped[Time]
    closed_at: Mapped[Time | None]
    latency_ms: Mapped[int | None]
    input_tokens: Mapped[int | None]
    cache_read_tokens: Mapped[int | None]
    cache_write_5m_tokens: Mapped[int | None]
    cache_write_1h_tokens: Mapped[int | None]
    output_tokens: Mapped[int | None]
    thinking_tokens: Mapped[int | None]  # a part of output_tokens
    web_searches: Mapped[int | None]
    service_tier: Mapped[Line | None]
    speed: Mapped[Line | None]
    inference_geo: Mapped[Line | None]
    usage: Mapped[Json | None]  # the reply's own object: counters unknown today survive
    reserved_nano_usd: Mapped[Money | None]  # Decimal USD in Python, as every NanoUSD
    budgets: Mapped[Json | None]  # the scopes of its reservations, sorted
    unknown_at: Mapped[Time | None]  # when its worker was found lost: its reservation counts as spent from then on
    cost_nano_usd: Mapped[Money | None]
    least_nano_usd: Mapped[Money | None]  # of a broken stream: the cost of its usage so far, the bill's lower bound
    input_nano_usd: Mapped[Money | None]  # the parts of the cost, which is their sum
    cache_read_nano_usd: Mapped[Money | None]
    cache_write_5m_nano_usd: Mapped[Money | None]
    cache_write_1h_nano_usd: Mapped[Money | None]
    output_nano_usd: Mapped[Money | None]
    web_search_nano_usd: Mapped[Money | None]
    cost_status: Mapped[Word]
    price_source: Mapped[Line | None]
    message_batch_id: Mapped[Id | None] = mapped_column(ForeignKey("message_batches.id"))  # at half price; NULL: live
    worker: Mapped[Line]
    lease_token: Mapped[int]

    __table_args__ = (
        UniqueConstraint("job_id", "attempt_no"),
        Index(None, "opened_at"),
        Index(None, "batch_id"),
        Index(
            None,
            "message_batch_id",
            sqlite_where=text("message_batch_id IS NOT NULL"),
            postgresql_where=text("message_batch_id IS NOT NULL"),
        ),
        CheckConstraint("(cost_nano_usd IS NULL) = (cost_status IN ('unknown', 'at_least'))", name="cost_known"),
        CheckConstraint("(least_nano_usd IS NULL) = (cost_status <> 'at_least')", name="least_known"),
        CheckConstraint("cost_nano_usd >= 0", name="cost_positive"),
    )


# Columns of a new attempt, each with the parameter that fills it. The cost is unknown until the attempt is closed.
_OPENING: Mapping[str, Any] = {
    **{name: bindparam(name, type_=getattr(Attempt, name).type) for name in shared_names(Opening, Attempt)},
    "job_id": Job.id,
    "batch_id": Job.batch_id,
    "task": Job.task,
    "attempt_no": bindparam("number", type_=Integer),
    "endpoint": bindparam("endpoint", type_=String),
    "requested_model": bindparam("model", type_=String),
    "cost_status": literal(CostStatus.UNKNOWN, String),
    "reserved_nano_usd": bindparam("worst_case_usd", type_=NanoUSD()),
    "budgets": bindparam("scopes", type_=EscapedJSON()),
    "worker": bindparam("worker", type_=String),
    "lease_token": Job.lease_token,
    "opened_at": db_now(0.0),
}
OPENING_COLUMNS = list(_OPENING)


def opening_values() -> list[Any]:
    """Return the values of a new attempt, in the order of OPENING_COLUMNS. The job's own row gives some of them."""
    return list(_OPENING.values())


def opening_row(claim: Claim, opening: Opening, worker: str) -> dict[str, Any]:
    """Return the parameters of a new attempt, and of the condition that its job is ours."""
    return columns_of(opening, Attempt) | {
        "job_id": claim.job_id,
        "token": claim.token,
        "number": opening.number,
        "endpoint": endpoint_of(opening.model),
        "model": opening.model,
        "worst_case_usd": opening.worst_case_usd,
        "scopes": [cap.scope for cap in opening.caps] or None,
        "worker": worker,
    }


def closing_row(closing: Closing, *, is_late: bool) -> dict[str, Any]:
    """Return the columns for an attempt's end."""
    usage = closing.usage
    row = columns_of(closing, Attempt) | {
        "cost_nano_usd": closing.cost_usd,
        "least_nano_usd": closing.least_usd,
        "usage": usage and usage.raw,
    }
    if is_late:
        row["outcome"] = Outcome.LATE
    return row | (parts_row(closing.parts) if closing.parts else {}) | (columns_of(usage, Attempt) if usage else {})


def parts_row(parts: Parts) -> dict[str, Any]:
    """Return the columns for the parts of a cost."""
    return {f"{part.name}_nano_usd": getattr(parts, part.name) for part in fields(parts)}
