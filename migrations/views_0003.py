"""The views as revision 0003 makes them: what people ask the ledger, the same on SQLite and Postgres."""

from sqlalchemy import Connection


def create_views(connection: Connection) -> None:
    """Make them, each after those it reads from."""


def drop_views(connection: Connection) -> None:
    """Drop them, each before those it reads from."""
