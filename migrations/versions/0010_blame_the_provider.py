"""Have v_primary_health count a fallback only where the provider's word ended the start rung.

Workers of the version before go on beside it.
"""

from alembic import op

from migrations.views_0010 import create_views, drop_views

revision = "0010"
down_revision: str | None = "0009"


def upgrade() -> None:
    """Make the view anew."""
    create_views(op.get_bind())


def downgrade() -> None:
    """Restore the view of revision 0003."""
    drop_views(op.get_bind())
