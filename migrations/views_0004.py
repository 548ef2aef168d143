"""The views that revision 0004 adds or writes anew, as those of revision 0003 are: one text for both engines."""

from pathlib import Path

from sqlalchemy import Connection

from migrations.views_0003 import create_from, drop_from

_TEXTS = Path(__file__).with_name("views_0004_texts")
_BEFORE = Path(__file__).with_name("views_0003_texts")
ANEW = ("v_wasted",)  # they know words that revision 0003 does not; no view reads from them
VIEWS = ("v_cache", "v_decisions", "v_starts", "v_story")  # each after those it reads from


def create_views(connection: Connection) -> None:
    """Make them."""
    drop_from(connection, ANEW)
    create_from(connection, _TEXTS, ANEW)
    create_from(connection, _TEXTS, VIEWS)


def drop_views(connection: Connection) -> None:
    """Drop them, and leave what was before."""
    drop_from(connection, VIEWS)
    drop_from(connection, ANEW)
    create_from(connection, _BEFORE, ANEW)
