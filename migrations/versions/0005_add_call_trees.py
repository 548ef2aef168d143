"""Add what a tree of calls is known by: who called, in which tree, how deep; and a view of it.

Workers of the version before go on beside it; they hold no call back for its tree's cap.
"""

import sqlalchemy as sa
from alembic import op

from migrations.views_0005 import create_views, drop_views

revision = "0005"
down_revision: str | None = "0004"

_LINE = sa.String(200)
_INDEXED = ("tree", "parent")


def upgrade() -> None:
    """Add columns that an older version need not fill, their indexes, and the view."""
    op.add_column("jobs", sa.Column("parent", _LINE, nullable=True))
    op.add_column("jobs", sa.Column("tree", _LINE, nullable=True))
    op.add_column("jobs", sa.Column("call_depth", sa.Integer(), nullable=True))
    for name in _INDEXED:
        is_there = sa.text(f"{name} IS NOT NULL")
        op.create_index(f"ix_jobs_{name}", "jobs", [name], sqlite_where=is_there, postgresql_where=is_there)
    create_views(op.get_bind())


def downgrade() -> None:
    """Take them away again."""
    drop_views(op.get_bind())
    for name in reversed(_INDEXED):
        op.drop_index(f"ix_jobs_{name}", "jobs")
    for name in ("call_depth", "tree", "parent"):
        op.drop_column("jobs", name)
