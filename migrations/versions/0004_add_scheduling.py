"""Add what a chain that decides well asks for: a job's own terms, a batch's weight, decisions, and views of them.

Workers of the version before go on beside it; they heed none of the new terms.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

from migrations.views_0004 import create_views, drop_views

revision = "0004"
down_revision: str | None = "0003"

_ID = sa.String(36)
_WORD = sa.String(32)
_LINE = sa.String(200)
_INT = sa.Integer()
_QUEUED = "state = 'queued'"
_WAITING = "state = 'waiting'"
_SENT = "sent_at IS NOT NULL AND state IN ('queued', 'waiting')"
_EXPLORED = sa.text("start_reason = 'explored'")


def upgrade() -> None:
    """Add columns that an older version need not fill, the table of decisions, and the views."""
    for table, columns in _columns().items():
        for column in columns:
            op.add_column(table, column)
    op.create_table(
        "decisions",
        _column("job_id", _ID),
        _column("lease_token", _INT),
        _column("number", _INT),
        _column("attempt_count", _INT),
        _column("at", sa.DateTime(timezone=True)),
        _column("rung", _INT),
        _column("model", _LINE),
        _column("decision", _WORD),
        _column("why", _LINE),
        _column("figures", sa.Text()),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_decisions_job_id"),
        sa.PrimaryKeyConstraint("job_id", "lease_token", "number", name="pk_decisions"),
    )
    for name in ("ix_jobs_queued", "ix_jobs_due"):
        op.drop_index(name, "jobs")
    _index("ix_jobs_queued", ["is_urgent", "rung", "batch_id", "deadline_at", "seq"], f"{_QUEUED} AND sent_at IS NULL")
    due = f"{_WAITING} AND sent_at IS NULL AND due_at IS NOT NULL"
    _index("ix_jobs_due", ["is_urgent", "rung", "batch_id", "due_at"], due)
    _index("ix_jobs_sent", ["sent_at"], _SENT)
    op.create_index(
        "ix_jobs_explored", "jobs", ["task", "created_at"], sqlite_where=_EXPLORED, postgresql_where=_EXPLORED
    )
    create_views(op.get_bind())


def downgrade() -> None:
    """Take them away again."""
    drop_views(op.get_bind())
    for name in ("ix_jobs_sent", "ix_jobs_due", "ix_jobs_queued"):
        op.drop_index(name, "jobs")
    _index("ix_jobs_queued", ["rung", "sent_at", "seq"], _QUEUED)
    _index("ix_jobs_due", ["due_at"], _WAITING)
    op.drop_index("ix_jobs_explored", "jobs")
    op.drop_table("decisions")
    for table, columns in reversed(_columns().items()):
        for column in reversed(columns):
            op.drop_column(table, column.name)


def _columns() -> dict[str, tuple[sa.Column[Any], ...]]:
    return {
        "batches": (_column("weight", _INT, server_default="1"),),
        "jobs": (
            _column("is_urgent", sa.Boolean(), server_default=sa.false()),
            _column("patience_ms", _INT, nullable=True),
            _column("climb_on", _LINE, nullable=True),
            _column("expects", sa.Text(), nullable=True),
            _column("prefix", _LINE, nullable=True),
            _column("start_reason", _WORD, nullable=True),
            _column("raised_max_tokens", _INT, nullable=True),
        ),
        "attempts": (
            _column("waited_ms", _INT, nullable=True),
            _column("is_probe", sa.Boolean(), server_default=sa.false()),
            _column("max_tokens", _INT, nullable=True),
            _column("note", sa.Text(), nullable=True),
        ),
    }


def _column(name: str, kind: sa.types.TypeEngine[Any], *, nullable: bool = False, **more: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=nullable, **more)


def _index(name: str, columns: list[str], where: str) -> None:
    op.create_index(name, "jobs", columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
