"""Find the jobs that wait for a model without a scan of all waiting jobs.

Workers of the version before go on beside it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision: str | None = "0008"

_THROTTLED = sa.text(
    "state = 'waiting' AND sent_at IS NULL AND due_at IS NOT NULL AND outcome IN ('cooling', 'limited', 'full', "
    "'rate_limited', 'ramp_limited', 'key_paused', 'overloaded', 'server_error', 'unreachable')"
)


def upgrade() -> None:
    """Add the index."""
    op.create_index("ix_jobs_throttled", "jobs", ["due_at"], sqlite_where=_THROTTLED, postgresql_where=_THROTTLED)


def downgrade() -> None:
    """Remove the index."""
    op.drop_index("ix_jobs_throttled", "jobs")
