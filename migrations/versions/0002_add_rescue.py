"""Add what a rescue writes and what its clock looks for. Workers of the version before go on beside it."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision: str | None = "0001"

_QUEUED = sa.text("state = 'queued'")
_UNSENT = sa.text("state = 'queued' AND sent_at IS NULL")
_RUNNING = sa.text("state = 'running'")


def upgrade() -> None:
    """Add columns that an older version need not fill, and the indexes of the clock."""
    op.add_column("jobs", sa.Column("on_unknown", sa.String(32), nullable=True))
    op.add_column("jobs", sa.Column("crashes", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("jobs", sa.Column("rebuys", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("jobs", sa.Column("purged_at", sa.DateTime(timezone=True), nullable=True))
    op.drop_index("ix_jobs_unsent", "jobs")
    op.create_index(
        "ix_jobs_queued", "jobs", ["rung", "sent_at", "seq"], sqlite_where=_QUEUED, postgresql_where=_QUEUED
    )
    op.create_index("ix_jobs_lease", "jobs", ["lease_until"], sqlite_where=_RUNNING, postgresql_where=_RUNNING)


def downgrade() -> None:
    """Take them away again."""
    op.drop_index("ix_jobs_lease", "jobs")
    op.drop_index("ix_jobs_queued", "jobs")
    op.create_index("ix_jobs_unsent", "jobs", ["seq"], sqlite_where=_UNSENT, postgresql_where=_UNSENT)
    for column in ("purged_at", "rebuys", "crashes", "on_unknown"):
        op.drop_column("jobs", column)
