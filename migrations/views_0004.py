"""The views that revision 0004 adds, written as those of revision 0003 are: one text for both engines."""

from pathlib import Path

from sqlalchemy import Connection

from migrations.views_0003 import create_from, drop_from

_TEXTS = Path(__file__).with_name("views_0004_texts")
VIEWS = ("v_decisions", "v_starts", "v_story")  # each after those it reads from


def create_views(connection: Connection) -> None:
    """Make them."""
    create_from(connection, _TEXTS, VIEWS)


def drop_views(connection: Connection) -> None:
    """Drop them."""
    drop_from(connection, VIEWS)
