"""The view that revision 0010 makes anew, as the views of revision 0003: one text for both engines."""

from pathlib import Path

from sqlalchemy import Connection

from migrations.views_0003 import create_from, drop_from

_TEXTS = Path(__file__).with_name("views_0010_texts")
_BEFORE = _TEXTS / "before"
ANEW = ("v_primary_health",)  # no view reads from it


def create_views(connection: Connection) -> None:
    """Make the view."""
    drop_from(connection, ANEW)
    create_from(connection, _TEXTS, ANEW)


def drop_views(connection: Connection) -> None:
    """Restore the view of revision 0003."""
    drop_from(connection, ANEW)
    create_from(connection, _BEFORE, ANEW)
