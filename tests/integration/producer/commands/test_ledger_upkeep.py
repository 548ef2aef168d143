"""A person has the ledger's days added up anew."""

from pathlib import Path

from sqlalchemy import text

from tests.support.ledgers.small_ledger import book
from tests.support.servers.fixtures import opened
from tests.support.sites.command_line import stranger_in


def test_rebuild_says_which_days_it_added_up(tmp_path: Path, sqlite_url: str) -> None:
    me = stranger_in(tmp_path, DATABASE_URL=sqlite_url)
    assert me.types("ledger", "rebuild").out == "0 days added up\n"
    with opened(sqlite_url) as engine:
        book(engine)
        assert me.types("ledger", "rebuild").out == "3 days added up, 2026-03-30 to 2026-04-01\n"
        with engine.connect() as connection:
            assert connection.scalar(text("SELECT COUNT(*) FROM attempts_daily")) == 7


def test_rebuild_of_a_ledger_that_is_away_says_so(tmp_path: Path) -> None:
    me = stranger_in(tmp_path, DATABASE_URL="postgresql://nobody:nothing@127.0.0.1:1/none")
    assert "ledger postgresql+psycopg://nobody:***@127.0.0.1:1/none" in me.types("ledger", "rebuild", expect=4).err
