"""Add what exact money asks for: parts of a cost, budgets, corrections, the daily rollup, thresholds, and the views.

Workers of the version before go on beside it; a cap holds once all of them are of this one.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

from migrations.views_0003 import create_views, drop_views

revision = "0003"
down_revision: str | None = "0002"

_ID = sa.String(36)
_WORD = sa.String(32)
_LINE = sa.String(200)
_INT = sa.Integer()
_MONEY = sa.BigInteger()
_COUNT = sa.BigInteger()
_TIME = sa.DateTime(timezone=True)
_PARTS = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output", "web_search")
_THRESHOLDS = (("health_min_jobs", 20), ("health_degraded_percent", 25), ("health_unreliable_percent", 50))


def upgrade() -> None:
    """Add columns that an older version need not fill, the tables, and the views over them."""
    for column in _attempt_columns():
        op.add_column("attempts", column)
    op.execute("UPDATE attempts SET task = (SELECT task FROM jobs WHERE jobs.id = attempts.job_id) WHERE task IS NULL")
    op.add_column("jobs", sa.Column("start_model", _LINE, nullable=True))
    op.create_index("ix_jobs_finished_at", "jobs", ["finished_at"])
    _lease_index("lease_until IS NOT NULL")  # a cancelled job keeps its lease while its call is in flight
    op.create_index("ix_batches_created_at", "batches", ["created_at"])
    op.add_column("prices", sa.Column("is_override", sa.Boolean(), nullable=False, server_default=sa.false()))
    _create_budgets()
    _create_corrections()
    _create_rollup()
    _create_thresholds()
    create_views(op.get_bind())


def downgrade() -> None:
    """Take them away again."""
    drop_views(op.get_bind())
    for table in ("thresholds", "rolled_days", "attempts_daily", "corrections", "budgets"):
        op.drop_table(table)
    op.drop_column("prices", "is_override")
    _lease_index("state = 'running'")
    op.drop_index("ix_batches_created_at", "batches")
    op.drop_index("ix_jobs_finished_at", "jobs")
    op.drop_column("jobs", "start_model")
    for column in reversed(_attempt_columns()):
        op.drop_column("attempts", column.name)


def _lease_index(where: str) -> None:
    op.drop_index("ix_jobs_lease", "jobs")
    op.create_index(
        "ix_jobs_lease", "jobs", ["lease_until"], sqlite_where=sa.text(where), postgresql_where=sa.text(where)
    )


def _attempt_columns() -> tuple[sa.Column[Any], ...]:
    return (
        _column("task", _LINE, nullable=True),
        *(_column(f"{part}_nano_usd", _MONEY, nullable=True) for part in _PARTS),
        _column("budgets", sa.Text(), nullable=True),
        _column("unknown_at", _TIME, nullable=True),
    )


def _create_budgets() -> None:
    op.create_table(
        "budgets",
        _column("scope", sa.String(500)),
        _column("day", sa.String(10)),
        _column("cap_nano_usd", _MONEY),
        _column("spent_nano_usd", _MONEY),
        _column("unknown_nano_usd", _MONEY),
        _column("reserved_nano_usd", _MONEY),
        sa.PrimaryKeyConstraint("scope", "day", name="pk_budgets"),
    )


def _create_corrections() -> None:
    op.create_table(
        "corrections",
        _column("id", _ID),
        _column("attempt_id", _ID),
        _column("number", _INT),
        _column("made_at", _TIME),
        _column("was_nano_usd", _MONEY, nullable=True),
        _column("cost_nano_usd", _MONEY),
        *(_column(f"{part}_nano_usd", _MONEY, nullable=True) for part in _PARTS),
        _column("price_source", _LINE),
        sa.ForeignKeyConstraint(["attempt_id"], ["attempts.id"], name="fk_corrections_attempt_id"),
        sa.PrimaryKeyConstraint("id", name="pk_corrections"),
        sa.UniqueConstraint("attempt_id", "number", name="uq_corrections_attempt_id_number"),
    )


def _create_rollup() -> None:
    op.create_table(
        "attempts_daily",
        _column("day", sa.Date()),
        _column("model", _LINE),
        _column("task", _LINE),
        *(_column(count, _COUNT) for count in ("attempts", "answered", "failed", "open", "unknown_costs")),
        *(_column(f"{kind}_tokens", _COUNT) for kind in _PARTS[:-1]),
        _column("web_searches", _COUNT),
        _column("cost_nano_usd", _MONEY),
        sa.PrimaryKeyConstraint("day", "model", "task", name="pk_attempts_daily"),
    )
    op.create_table(
        "rolled_days",
        _column("day", sa.Date()),
        _column("rolled_at", _TIME),
        _column("is_stale", sa.Boolean()),
        sa.PrimaryKeyConstraint("day", name="pk_rolled_days"),
    )


def _create_thresholds() -> None:
    table = op.create_table(
        "thresholds",
        _column("name", _WORD),
        _column("value", _INT),
        sa.PrimaryKeyConstraint("name", name="pk_thresholds"),
    )
    op.bulk_insert(table, [{"name": name, "value": value} for name, value in _THRESHOLDS])


def _column(name: str, kind: sa.types.TypeEngine[Any], *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=nullable)
