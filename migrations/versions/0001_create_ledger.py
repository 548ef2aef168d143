"""Create the ledger: its tables, and the views over them.

Column types are written out here, and not taken from models: a change of models must not change this migration.
"""

import re
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

from migrations.views import create_views, drop_views

revision = "0001"
down_revision: str | None = None

_KINDS: dict[str, sa.types.TypeEngine[Any]] = {
    "id": sa.String(36),
    "word": sa.String(32),
    "line": sa.String(200),
    "hash": sa.String(64),
    "scope": sa.String(500),
    "day": sa.String(10),
    "text": sa.Text(),
    "int": sa.Integer(),
    "count": sa.BigInteger(),
    "money": sa.BigInteger(),  # nano-dollars
    "time": sa.DateTime(timezone=True),
    "date": sa.Date(),
    "flag": sa.Boolean(),
}
# Each column is `name kind`: `!` marks the primary key, `?` may be NULL, `>table` refers to that table's id, `=` is the
# default. A table stands behind the tables that it refers to.
_COLUMNS = {
    "batches": """
        id id!, name line?, idempotency_key line?, content_sha256 hash?, task line?, tags text, job_count int,
        weight int=1, created_at time
    """,
    "batch_counts": """
        batch_id id!>batches, writer line!, succeeded int, failed int, cancelled int, over_budget int, attempts int,
        unknown_costs int, cost_nano_usd money
    """,
    "prices": """
        id id!, model line, valid_from time, source line, input_nano_usd_per_mtok money,
        output_nano_usd_per_mtok money, cache_read_nano_usd_per_mtok money, cache_write_5m_nano_usd_per_mtok money,
        cache_write_1h_nano_usd_per_mtok money, tiers text, is_override flag=false
    """,
    "jobs": """
        id id!, batch_id id?>batches, seq int, prompt_id line, task line?, params text, headers text?, columns text,
        start_model line?, start_rung int, floor_rung int, ceiling_rung int, is_urgent flag=false, lane word?,
        patience_ms int?, climb_on line?, expects text?, prefix line?, start_reason word?, raised_max_tokens int?,
        parent line?, tree line?, call_depth int?, state word, outcome word?, error text?, rung int, given_up text,
        rounds int, on_unknown word?, crashes int=0, rebuys int=0, lease_token int, lease_until time?,
        lease_holder line?, deliveries int, sent_at time?, due_at time?, deadline_at time, created_at time,
        finished_at time?, purged_at time?, model_used line?, fallback_depth int?, phase word?
    """,
    "message_batches": """
        id id!, namespace line, provider_id line?, model line, headers text, size int, cache_ttl word?, state word,
        is_proven flag=false, not_ours text, error text?, made_at time, sent_at time?, switch_at time,
        cancelled_at time?, ended_at time?, done_at time?, look_at time?, looks int=0, lease_token int=0,
        lease_until time?, lease_holder line?
    """,
    "attempts": """
        id id!, job_id id>jobs, batch_id id?, task line?, attempt_no int, rung int, fallback_depth int, reason word,
        is_probe flag=false, waited_ms int?, max_tokens int?, note text?, endpoint line, requested_model line,
        served_model line?,
        outcome word?, http_status int?, error_type line?, error_code line?, error text?, retry_after_ms int?,
        stop_reason line?, message_id line?, request_id line?, opened_at time, closed_at time?, latency_ms int?,
        input_tokens int?, cache_read_tokens int?, cache_write_5m_tokens int?, cache_write_1h_tokens int?,
        output_tokens int?, thinking_tokens int?, web_searches int?, service_tier line?, speed line?,
        inference_geo line?, usage text?, reserved_nano_usd money?, budgets text?, unknown_at time?,
        cost_nano_usd money?, least_nano_usd money?, input_nano_usd money?, cache_read_nano_usd money?,
        cache_write_5m_nano_usd money?, cache_write_1h_nano_usd money?, output_nano_usd money?,
        web_search_nano_usd money?, cost_status word, price_source line?,
        message_batch_id id?>message_batches, worker line, lease_token int
    """,
    "answers": """
        job_id id!>jobs, attempt_id id>attempts, message text, is_truncated flag, created_at time
    """,
    "budgets": """
        scope scope!, day day!, cap_nano_usd money, spent_nano_usd money, unknown_nano_usd money,
        reserved_nano_usd money
    """,
    "corrections": """
        id id!, attempt_id id>attempts, number int, made_at time, was_nano_usd money?, cost_nano_usd money,
        input_nano_usd money?, cache_read_nano_usd money?, cache_write_5m_nano_usd money?,
        cache_write_1h_nano_usd money?, output_nano_usd money?, web_search_nano_usd money?, price_source line
    """,
    "attempts_daily": """
        day date!, endpoint line!, model line!, task line!, lane word!, attempts count, answered count,
        failed count, open count, unknown_costs count, input_tokens count, cache_read_tokens count,
        cache_write_5m_tokens count, cache_write_1h_tokens count, output_tokens count, web_searches count,
        cost_nano_usd money
    """,
    "rolled_days": """
        day date!, rolled_at time, is_stale flag
    """,
    "thresholds": """
        name word!, value int
    """,
    "decisions": """
        job_id id!>jobs, lease_token int!, number int!, attempt_count int, at time, rung int, model line,
        decision word, reason line, details text
    """,
    "steps": """
        job_id id!>jobs, batch_id id>batches, document line?, level int, label text, begins_at int?, ends_at int?,
        pieces text?, on_failed_part word?
    """,
    "parts": """
        job_id id!>jobs, position int!, part_id id>jobs
    """,
    "turns": """
        job_id id!>jobs, message text, created_at time
    """,
}
_UNIQUE = (
    ("batches", ("idempotency_key",)),
    ("prices", ("model", "valid_from")),
    ("jobs", ("batch_id", "prompt_id")),
    ("attempts", ("job_id", "attempt_no")),
    ("corrections", ("attempt_id", "number")),
)
_CHECKS = {
    ("attempts", "cost_known"): "(cost_nano_usd IS NULL) = (cost_status IN ('unknown', 'at_least'))",
    ("attempts", "least_known"): "(least_nano_usd IS NULL) = (cost_status <> 'at_least')",
    ("attempts", "cost_positive"): "cost_nano_usd >= 0",
    ("jobs", "running_sent"): "state <> 'running' OR sent_at IS NOT NULL",
}
_COMPUTED = {
    "phase": """
    CASE WHEN state IN ('queued', 'running') THEN 'line'
        WHEN state = 'waiting' AND due_at IS NOT NULL THEN 'waiting'
        WHEN state = 'waiting' THEN 'held'
        WHEN state = 'cancelled' AND lease_until IS NOT NULL THEN 'cut' END
"""
}
# Postgres fills a page so far, and writes later versions of its rows beside them. SQLite takes no notice.
_FILL_PERCENT = {"jobs": 50, "attempts": 30, "batch_counts": 50}
_COLUMN = re.compile(r"(?P<name>\w+) (?P<kind>\w+)(?P<key>!)?(?P<null>\?)?(>(?P<parent>\w+))?(=(?P<default>\w+))?")
_DEFAULTS = {"false": sa.false()}
_THRESHOLDS = {"health_min_jobs": 20, "health_degraded_percent": 25, "health_unreliable_percent": 50}
_DUE = "phase = 'waiting' AND sent_at IS NULL"
_THROTTLES = ("circuit_open", "limited", "full", "rate_limited", "ramp_limited")
_FAILURES = ("key_paused", "overloaded", "server_error", "unreachable")
_THROTTLED = f"{_DUE} AND outcome IN {(*_THROTTLES, *_FAILURES)}"
# Name, table, columns, and the condition of the rows in the index.
_INDEXES: tuple[tuple[str, str, tuple[str, ...], str | None], ...] = (
    ("ix_batches_created_at", "batches", ("created_at",), None),
    ("ix_jobs_batch_id_seq", "jobs", ("batch_id", "seq"), None),
    ("ix_jobs_cut", "jobs", ("id",), "phase = 'cut'"),
    ("ix_jobs_due", "jobs", ("is_urgent", "rung", "batch_id", "due_at"), _DUE),
    ("ix_jobs_explored", "jobs", ("task", "created_at"), "start_reason = 'explored'"),
    ("ix_jobs_finished_at", "jobs", ("finished_at",), "finished_at IS NOT NULL"),
    ("ix_jobs_half_price", "jobs", ("rung", "due_at"), "phase = 'waiting' AND outcome = 'half_price'"),
    ("ix_jobs_held", "jobs", ("batch_id",), "phase = 'held'"),
    ("ix_jobs_parent", "jobs", ("parent",), "parent IS NOT NULL"),
    ("ix_jobs_parts", "jobs", ("batch_id",), "phase = 'waiting' AND outcome = 'parts'"),
    (
        "ix_jobs_queued",
        "jobs",
        ("is_urgent", "rung", "batch_id", "deadline_at", "seq"),
        "phase = 'line' AND sent_at IS NULL",
    ),
    ("ix_jobs_sent", "jobs", ("sent_at",), "sent_at IS NOT NULL AND phase IN ('line', 'waiting')"),
    ("ix_jobs_throttled", "jobs", ("due_at",), _THROTTLED),
    ("ix_jobs_tree", "jobs", ("tree",), "tree IS NOT NULL"),
    ("ix_attempts_batch_id", "attempts", ("batch_id",), None),
    ("ix_attempts_message_batch_id", "attempts", ("message_batch_id",), "message_batch_id IS NOT NULL"),
    ("ix_message_batches_look_at", "message_batches", ("look_at",), "look_at IS NOT NULL"),
    ("ix_message_batches_model_sent_at", "message_batches", ("model", "sent_at"), None),
    ("ix_attempts_opened_at", "attempts", ("opened_at",), None),
    ("ix_steps_batch_id", "steps", ("batch_id",), None),
    ("ix_parts_part_id", "parts", ("part_id",), None),
)


def upgrade() -> None:
    """Make the tables, their indexes, and the views."""
    for table, columns in _COLUMNS.items():
        op.create_table(table, *_parts(table, columns))
        if op.get_bind().dialect.name == "postgresql" and table in _FILL_PERCENT:
            op.execute(f"ALTER TABLE {table} SET (fillfactor = {_FILL_PERCENT[table]})")
    for name, table, indexed, where in _INDEXES:
        condition = None if where is None else sa.text(where)
        op.create_index(name, table, list(indexed), sqlite_where=condition, postgresql_where=condition)
    thresholds = sa.table("thresholds", sa.column("name"), sa.column("value"))
    op.bulk_insert(thresholds, [{"name": name, "value": value} for name, value in _THRESHOLDS.items()])
    create_views(op.get_bind())


def downgrade() -> None:
    """Drop the views and the tables; the indexes go with their tables."""
    drop_views(op.get_bind())
    for table in reversed(_COLUMNS):
        op.drop_table(table)


def _parts(table: str, columns: str) -> Iterator[sa.schema.SchemaItem]:
    found = [_COLUMN.fullmatch(" ".join(column.split())) for column in columns.split(",")]
    parts = [part.groupdict() for part in found if part]
    for part in parts:
        default = _DEFAULTS.get(part["default"], part["default"])
        computed = [sa.Computed(_COMPUTED[part["name"]], persisted=True)] if part["name"] in _COMPUTED else []
        kind, may_be_null = _KINDS[part["kind"]], bool(part["null"])
        yield sa.Column(part["name"], kind, *computed, nullable=may_be_null, server_default=default)
    yield sa.PrimaryKeyConstraint(*(part["name"] for part in parts if part["key"]), name=f"pk_{table}")
    for name, parent in ((part["name"], part["parent"]) for part in parts if part["parent"]):
        yield sa.ForeignKeyConstraint([name], [f"{parent}.id"], name=f"fk_{table}_{name}")
    for names in (unique for owner, unique in _UNIQUE if owner == table):
        yield sa.UniqueConstraint(*names, name="_".join(("uq", table, *names)))
    for check, condition in ((name, condition) for (owner, name), condition in _CHECKS.items() if owner == table):
        yield sa.CheckConstraint(condition, name=op.f(f"ck_{table}_{check}"))
