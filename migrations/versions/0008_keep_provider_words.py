"""Keep the provider's words beside each attempt, and count the passes of a paused turn as parts of its answer.

Workers of the version before go on beside it; they leave the words empty.
"""

import sqlalchemy as sa
from alembic import op

from migrations.views_0008 import create_views, drop_views

revision = "0008"
down_revision: str | None = "0007"


def upgrade() -> None:
    """Add the column, and make the views anew."""
    op.add_column("attempts", sa.Column("error", sa.Text(), nullable=True))
    create_views(op.get_bind())


def downgrade() -> None:
    """Take the column away again, and leave the views of before."""
    drop_views(op.get_bind())
    op.drop_column("attempts", "error")
