"""Create the ledger: batches, jobs, answers, attempts, prices.

Column types are written out here, not taken from models: what this migration made must not change with them.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision: str | None = None

_ID = sa.String(36)
_WORD = sa.String(32)
_LINE = sa.String(200)
_TEXT = sa.Text()
_INT = sa.Integer()
_MONEY = sa.BigInteger()
_TIME = sa.DateTime(timezone=True)
_UNSENT = sa.text("state = 'queued' AND sent_at IS NULL")
_WAITING = sa.text("state = 'waiting'")


def upgrade() -> None:
    """Make the tables, parents first."""
    _create_batches()
    _create_prices()
    _create_jobs()
    _create_attempts()
    _create_answers()


def downgrade() -> None:
    """Drop the tables, children first; their indexes go with them."""
    for table in ("answers", "attempts", "jobs", "prices", "batches"):
        op.drop_table(table)


def _create_batches() -> None:
    op.create_table(
        "batches",
        _column("id", _ID),
        _column("name", _LINE, nullable=True),
        _column("idempotency_key", _LINE, nullable=True),
        _column("content_sha256", sa.String(length=64), nullable=True),
        _column("task", _LINE, nullable=True),
        _column("tags", _TEXT),
        _column("job_count", _INT),
        _column("created_at", _TIME),
        sa.PrimaryKeyConstraint("id", name="pk_batches"),
        sa.UniqueConstraint("idempotency_key", name="uq_batches_idempotency_key"),
    )


def _create_prices() -> None:
    op.create_table(
        "prices",
        _column("id", _ID),
        _column("model", _LINE),
        _column("valid_from", _TIME),
        _column("source", _LINE),
        _column("input_nano_usd_per_mtok", _MONEY),
        _column("output_nano_usd_per_mtok", _MONEY),
        _column("cache_read_nano_usd_per_mtok", _MONEY),
        _column("cache_write_5m_nano_usd_per_mtok", _MONEY),
        _column("cache_write_1h_nano_usd_per_mtok", _MONEY),
        _column("tiers", _TEXT),
        sa.PrimaryKeyConstraint("id", name="pk_prices"),
        sa.UniqueConstraint("model", "valid_from", name="uq_prices_model_valid_from"),
    )


def _create_jobs() -> None:
    op.create_table(
        "jobs",
        _column("id", _ID),
        _column("batch_id", _ID, nullable=True),
        _column("seq", _INT),
        _column("prompt_id", _LINE),
        _column("task", _LINE, nullable=True),
        _column("params", _TEXT),
        _column("columns", _TEXT),
        _column("start_rung", _INT),
        _column("floor_rung", _INT),
        _column("ceiling_rung", _INT),
        _column("state", _WORD),
        _column("outcome", _WORD, nullable=True),
        _column("error", _TEXT, nullable=True),
        _column("rung", _INT),
        _column("given_up", _TEXT),
        _column("rounds", _INT),
        _column("lease_token", _INT),
        _column("lease_until", _TIME, nullable=True),
        _column("lease_holder", _LINE, nullable=True),
        _column("deliveries", _INT),
        _column("sent_at", _TIME, nullable=True),
        _column("due_at", _TIME, nullable=True),
        _column("deadline_at", _TIME),
        _column("created_at", _TIME),
        _column("finished_at", _TIME, nullable=True),
        _column("model_used", _LINE, nullable=True),
        _column("fallback_depth", _INT, nullable=True),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.id"], name="fk_jobs_batch_id"),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
        sa.UniqueConstraint("batch_id", "prompt_id", name="uq_jobs_batch_id_prompt_id"),
    )
    op.create_index("ix_jobs_batch_id_seq", "jobs", ["batch_id", "seq"])
    op.create_index("ix_jobs_unsent", "jobs", ["seq"], sqlite_where=_UNSENT, postgresql_where=_UNSENT)
    op.create_index("ix_jobs_due", "jobs", ["due_at"], sqlite_where=_WAITING, postgresql_where=_WAITING)


def _create_attempts() -> None:
    op.create_table(
        "attempts",
        *_attempt_columns(),
        sa.CheckConstraint("(cost_nano_usd IS NULL) = (cost_status = 'unknown')", name=op.f("ck_attempts_cost_known")),
        sa.CheckConstraint("cost_nano_usd >= 0", name=op.f("ck_attempts_cost_positive")),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_attempts_job_id"),
        sa.PrimaryKeyConstraint("id", name="pk_attempts"),
        sa.UniqueConstraint("job_id", "attempt_no", name="uq_attempts_job_id_attempt_no"),
    )
    op.create_index("ix_attempts_batch_id", "attempts", ["batch_id"])
    op.create_index("ix_attempts_opened_at", "attempts", ["opened_at"])


def _attempt_columns() -> tuple[sa.Column[Any], ...]:
    return (
        _column("id", _ID),
        _column("job_id", _ID),
        _column("batch_id", _ID, nullable=True),
        _column("attempt_no", _INT),
        _column("rung", _INT),
        _column("fallback_depth", _INT),
        _column("reason", _WORD),
        _column("requested_model", _LINE),
        _column("served_model", _LINE, nullable=True),
        _column("outcome", _WORD, nullable=True),
        _column("http_status", _INT, nullable=True),
        _column("error_type", _LINE, nullable=True),
        _column("error_code", _LINE, nullable=True),
        _column("retry_after_ms", _INT, nullable=True),
        _column("stop_reason", _LINE, nullable=True),
        _column("message_id", _LINE, nullable=True),
        _column("request_id", _LINE, nullable=True),
        _column("opened_at", _TIME),
        _column("closed_at", _TIME, nullable=True),
        _column("latency_ms", _INT, nullable=True),
        _column("input_tokens", _INT, nullable=True),
        _column("cache_read_tokens", _INT, nullable=True),
        _column("cache_write_5m_tokens", _INT, nullable=True),
        _column("cache_write_1h_tokens", _INT, nullable=True),
        _column("output_tokens", _INT, nullable=True),
        _column("thinking_tokens", _INT, nullable=True),
        _column("web_searches", _INT, nullable=True),
        _column("service_tier", _LINE, nullable=True),
        _column("speed", _LINE, nullable=True),
        _column("inference_geo", _LINE, nullable=True),
        _column("usage", _TEXT, nullable=True),
        _column("reserved_nano_usd", _MONEY, nullable=True),
        _column("cost_nano_usd", _MONEY, nullable=True),
        _column("cost_status", _WORD),
        _column("price_source", _LINE, nullable=True),
        _column("worker", _LINE),
        _column("lease_token", _INT),
    )


def _create_answers() -> None:
    op.create_table(
        "answers",
        _column("job_id", _ID),
        _column("attempt_id", _ID),
        _column("message", _TEXT),
        _column("is_truncated", sa.Boolean()),
        _column("created_at", _TIME),
        sa.ForeignKeyConstraint(["attempt_id"], ["attempts.id"], name="fk_answers_attempt_id"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_answers_job_id"),
        sa.PrimaryKeyConstraint("job_id", name="pk_answers"),
    )


def _column(name: str, kind: sa.types.TypeEngine[Any], *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=nullable)
