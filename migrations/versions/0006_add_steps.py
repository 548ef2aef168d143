"""Add what documents that are mapped and synthesized ask for: steps, what each is made of, and a view of their cost.

Workers of the version before go on beside it; they ripen no step, and leave that to the others.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

from migrations.views_0006 import create_views, drop_views

revision = "0006"
down_revision: str | None = "0005"

_ID = sa.String(36)
_WORD = sa.String(32)
_LINE = sa.String(200)
_INT = sa.Integer()
_PARTS = sa.text("state = 'waiting' AND outcome = 'parts'")


def upgrade() -> None:
    """Add the tables, the index of the clock, and the view."""
    op.create_table(
        "steps",
        _column("job_id", _ID),
        _column("batch_id", _ID),
        _column("document", _LINE, nullable=True),
        _column("level", _INT),
        _column("label", sa.Text()),
        _column("begins_at", _INT, nullable=True),
        _column("ends_at", _INT, nullable=True),
        _column("pieces", sa.Text(), nullable=True),
        _column("on_failed_part", _WORD, nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_steps_job_id"),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.id"], name="fk_steps_batch_id"),
        sa.PrimaryKeyConstraint("job_id", name="pk_steps"),
    )
    op.create_index("ix_steps_batch_id", "steps", ["batch_id"])
    op.create_table(
        "parts",
        _column("job_id", _ID),
        _column("position", _INT),
        _column("part_id", _ID),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_parts_job_id"),
        sa.ForeignKeyConstraint(["part_id"], ["jobs.id"], name="fk_parts_part_id"),
        sa.PrimaryKeyConstraint("job_id", "position", name="pk_parts"),
    )
    op.create_index("ix_parts_part_id", "parts", ["part_id"])
    op.create_index("ix_jobs_parts", "jobs", ["batch_id"], sqlite_where=_PARTS, postgresql_where=_PARTS)
    create_views(op.get_bind())


def downgrade() -> None:
    """Take them away again."""
    drop_views(op.get_bind())
    op.drop_index("ix_jobs_parts", "jobs")
    op.drop_table("parts")
    op.drop_table("steps")


def _column(name: str, kind: sa.types.TypeEngine[Any], *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=nullable)
