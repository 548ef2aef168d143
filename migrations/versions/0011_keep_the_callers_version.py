"""Keep the version and the betas that a job was asked under, and the turn that a failed job came to.

Workers of the version before go on beside it; they send the SDK's own version without betas, and keep no such turn.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision: str | None = "0010"


def upgrade() -> None:
    """Add the column and the table."""
    op.add_column("jobs", sa.Column("headers", sa.Text(), nullable=True))
    op.create_table(
        "turns",
        sa.Column("job_id", sa.String(36), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_turns_job_id"),
        sa.PrimaryKeyConstraint("job_id", name="pk_turns"),
    )


def downgrade() -> None:
    """Take them away again."""
    op.drop_table("turns")
    op.drop_column("jobs", "headers")
