"""The commands on Postgres: its schema is brought up when it is asked for, and never on the way."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.sites.command_line import KEY, Stranger, stranger_in

if TYPE_CHECKING:
    from tests.support.servers.postgres import Postgres


@pytest.fixture
def empty_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Give a Postgres database without any table."""
    server: Postgres = request.getfixturevalue("postgres")
    with server.database() as url:
        yield url


@pytest.fixture
def me(tmp_path: Path, empty_url: str) -> Stranger:
    """Work with it."""
    me = stranger_in(tmp_path)
    me.configure(DATABASE_URL=empty_url, ANTHROPIC_API_KEY=KEY)
    return me


def test_an_empty_database_is_refused_until_it_is_upgraded_and_then_works(me: Stranger, empty_url: str) -> None:
    for command in (["submit", "-"], ["ls"]):
        printed = me.types(*command, stdin="Why?\n", expect=4)
        assert "its schema is at revision none, this version needs " in printed.err
        assert "run `stepdown db upgrade`" in printed.err
        assert printed.out == ""
    assert "fail ledger postgresql+psycopg://" in " ".join(me.types("doctor", expect=4).out.split())
    for _ in range(2):
        printed = me.types("db", "upgrade")
        assert printed.out.startswith("postgresql+psycopg://tests:***@127.0.0.1:")
        assert " is at revision 0" in printed.out
    password = empty_url.split(":")[2].partition("@")[0]
    doctor = me.types("doctor", expect=None)
    assert "ok ledger postgresql+psycopg://tests:***@" in " ".join(doctor.out.split())
    assert password not in doctor.out + doctor.err
    batch = me.types("submit", "-", "--name", "é😀", stdin="Why?\nHow?\n").out.strip()
    assert json.loads(me.types("status", "é😀", "--json").out)["batch"] == batch
    assert [json.loads(line)["id"] for line in me.types("results", batch[:30]).out.splitlines()] == ["1", "2"]
    assert me.types("cancel", batch).out == "2 jobs cancelled\n"
