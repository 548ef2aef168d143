"""The views that revision 0008 makes anew, as those of revision 0003 are: one text for both engines."""

from pathlib import Path

from sqlalchemy import Connection

from migrations.views_0003 import create_from, drop_from

_TEXTS = Path(__file__).with_name("views_0008_texts")
_BEFORE = {"v_wasted": "views_0004_texts", "v_errors": "views_0003_texts"}
ANEW = ("v_wasted", "v_errors")  # no view reads from them


def create_views(connection: Connection) -> None:
    """Make the views that know turns in several passes."""
    drop_from(connection, ANEW)
    create_from(connection, _TEXTS, ANEW)


def drop_views(connection: Connection) -> None:
    """Leave the views of before."""
    drop_from(connection, ANEW)
    for name, folder in _BEFORE.items():
        create_from(connection, Path(__file__).with_name(folder), (name,))
