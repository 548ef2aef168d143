"""Find held jobs without a scan of all, and count in v_cache what nothing tells apart from the cache's own.

Workers of the version before go on beside it.
"""

import sqlalchemy as sa
from alembic import op

from migrations.views_0007 import create_views, drop_views

revision = "0007"
down_revision: str | None = "0006"

_HELD = sa.text("state = 'waiting' AND due_at IS NULL")


def upgrade() -> None:
    """Add the index, and make the view anew."""
    op.create_index("ix_jobs_held", "jobs", ["batch_id"], sqlite_where=_HELD, postgresql_where=_HELD)
    create_views(op.get_bind())


def downgrade() -> None:
    """Take it away again, and leave the view as it was."""
    drop_views(op.get_bind())
    op.drop_index("ix_jobs_held", "jobs")
