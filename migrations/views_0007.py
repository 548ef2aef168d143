"""The view that revision 0007 makes anew, as those of revision 0003 are: one text for both engines."""

from pathlib import Path

from sqlalchemy import Connection

from migrations.views_0003 import create_from, drop_from

_TEXTS = Path(__file__).with_name("views_0007_texts")
_BEFORE = Path(__file__).with_name("views_0004_texts")
ANEW = ("v_cache",)  # no view reads from it


def create_views(connection: Connection) -> None:
    """Make it."""
    drop_from(connection, ANEW)
    create_from(connection, _TEXTS, ANEW)


def drop_views(connection: Connection) -> None:
    """Leave what was before."""
    drop_from(connection, ANEW)
    create_from(connection, _BEFORE, ANEW)
