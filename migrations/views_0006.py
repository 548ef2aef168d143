"""The view that revision 0006 adds, as those of revision 0003 are: one text for both engines."""

from pathlib import Path

from sqlalchemy import Connection

from migrations.views_0003 import create_from, drop_from

_TEXTS = Path(__file__).with_name("views_0006_texts")
VIEWS = ("v_documents",)


def create_views(connection: Connection) -> None:
    """Make it."""
    create_from(connection, _TEXTS, VIEWS)


def drop_views(connection: Connection) -> None:
    """Drop it."""
    drop_from(connection, VIEWS)
