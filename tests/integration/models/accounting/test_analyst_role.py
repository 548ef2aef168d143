"""An analyst on Postgres reads every view and nothing else; and no view shows what people wrote, on either engine."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from sqlalchemy import Engine, inspect, text

from models.accounting.exports import ATTEMPTS, FOCUS
from models.store import Store
from tests.support.ledgers.six_weeks import CANARY, billed, with_canary
from tests.support.servers.fixtures import opened
from tests.support.sites.command_line import Stranger, stranger_in

_KEY = "of-the-analyst"
_ROLE = "test_analyst"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A Postgres ledger of six weeks, its owner at the command line, and its analyst's connection."""

    me: Stranger
    engine: Engine
    analyst: psycopg.Connection[tuple[object, ...]]


@pytest.fixture
def worker(postgres_url: str, tmp_path: Path) -> Iterator[Site]:
    """Run what `stepdown db analyst` prints, and again after too much was granted; connect as who it made."""
    me = stranger_in(tmp_path, DATABASE_URL=postgres_url)
    with opened(postgres_url) as engine:
        billed(engine)
        with_canary(engine)
        written = me.types("db", "analyst", "--role", _ROLE).out
        with psycopg.connect(postgres_url, autocommit=True) as owner:
            owner.execute(written.encode())
            owner.execute(f"GRANT ALL ON jobs TO {_ROLE}".encode())
            owner.execute(written.encode())
            owner.execute(f"ALTER ROLE {_ROLE} PASSWORD '{_KEY}'".encode())
            where = urlsplit(postgres_url)
            url = f"postgresql://{_ROLE}:{_KEY}@{where.hostname}:{where.port}{where.path}"
            with psycopg.connect(url, autocommit=True) as analyst:
                yield Site(me=me, engine=engine, analyst=analyst)
            owner.execute(f"DROP OWNED BY {_ROLE}".encode())
            owner.execute(f"DROP ROLE {_ROLE}".encode())


def test_an_analyst_reads_every_view_and_no_table(worker: Site) -> None:
    views, tables = inspect(worker.engine).get_view_names(), inspect(worker.engine).get_table_names()
    assert len(views) > 10
    for view in views:
        worker.analyst.execute(f"TABLE {view}".encode()).fetchall()
    assert {"jobs", "answers", "attempts", "batches", "prices", "corrections", "budgets"} < set(tables)
    for table in tables:
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="permission denied"):
            worker.analyst.execute(f"TABLE {table}".encode())


def test_an_analyst_writes_nothing_even_where_read_only_is_taken_off(worker: Site) -> None:
    job_actions = [
        *(f"TRUNCATE {name} CASCADE" for name in inspect(worker.engine).get_table_names()),
        "DELETE FROM v_attempts",
        "UPDATE v_attempts SET worker = 'me'",
        "INSERT INTO thresholds VALUES ('x', 1)",
        "CREATE TABLE mine (a int)",
        "CREATE VIEW v_mine AS SELECT * FROM jobs",
        "TRUNCATE corrections",
        "DROP VIEW v_attempts",
        "GRANT SELECT ON jobs TO test_analyst",
        "ALTER ROLE test_analyst SUPERUSER",
        "COPY v_attempts TO PROGRAM 'cat'",
        "SELECT pg_read_file('/etc/passwd')",
    ]
    no_way = (psycopg.errors.InsufficientPrivilege, psycopg.errors.ObjectNotInPrerequisiteState)
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        worker.analyst.execute("CREATE TEMP TABLE mine (a int)")
    worker.analyst.execute("SET default_transaction_read_only = off")
    for order in job_actions:
        with pytest.raises(no_way):
            worker.analyst.execute(order.encode())


def test_an_analysts_query_is_ended_after_half_a_minute(worker: Site) -> None:
    found = worker.analyst.execute("SHOW statement_timeout").fetchone()
    assert found == ("30s",)


def test_an_analyst_asks_by_the_command_line_too(worker: Site) -> None:
    where = worker.analyst.info
    url = f"postgresql://{_ROLE}:{_KEY}@{where.host}:{where.port}/{where.dbname}"
    me = stranger_in(worker.me.folder, DATABASE_URL=url)
    assert "claude-opus-4-7" in me.types("ledger", "sql", "SELECT DISTINCT model FROM v_cost_daily").out
    assert "permission denied for table jobs" in me.types("ledger", "sql", "SELECT * FROM jobs", expect=2).err


@pytest.mark.parametrize("role", ["Analyst", "a b", "x; DROP TABLE jobs", "", "1st"])
def test_a_role_has_a_plain_name(tmp_path: Path, role: str) -> None:
    reported = stranger_in(tmp_path).types("db", "analyst", "--role", role, expect=2)
    assert "--role: " in reported.err
    assert reported.out == ""


def test_of_a_file_the_read_only_address_is_told_and_that_it_has_no_roles(tmp_path: Path) -> None:
    reported = stranger_in(tmp_path).types("db", "analyst")
    assert reported.out == f"file:{tmp_path}/.stepdown/ledger.db?mode=ro\n"
    assert "A file has no roles" in reported.err
    assert "stepdown ledger export" in reported.err


def test_no_view_and_no_export_shows_a_prompt_an_answer_or_what_the_provider_said(engine: Engine) -> None:
    with_canary(engine)
    spending = Store(engine, worker="here").spending
    with engine.connect() as connection:
        kept = "SELECT params, columns, error FROM jobs UNION ALL SELECT message, '', '' FROM answers"
        assert str(connection.execute(text(kept)).all()).count(CANARY) == 5
        for view in inspect(connection).get_view_names():
            rows = connection.execute(text(f"SELECT * FROM {view}")).all()  # noqa: S608
            assert CANARY not in str(rows), view
        assert "1" in str(connection.execute(text("SELECT prompt_id FROM v_jobs")).all())
    assert CANARY not in str([*spending.rows(ATTEMPTS), *spending.rows(FOCUS)])
