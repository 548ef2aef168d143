"""A person's SQL reads and cannot write, whatever is tried; on both engines."""

import re
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from sqlalchemy import Engine, inspect, text

from models.accounting.adhoc_sql import run_query
from models.errors import InputError, LedgerError
from models.ledger.ledger import Ledger
from tests.support.ledgers.job_values import accepted
from tests.support.ledgers.six_weeks import billed
from tests.support.servers.fixtures import opened
from tests.support.servers.ports import free_port

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT COUNT(*) FROM n"
ATTACKS = [
    "DELETE FROM jobs",
    "INSERT INTO thresholds VALUES ('x', 1)",
    "SET transaction_read_only = off; DELETE FROM jobs",
    "SELECT 1; DELETE FROM jobs",
    "SELECT 1; COMMIT; DELETE FROM jobs",
    "SELECT 1; SET default_transaction_read_only = off; COMMIT; DELETE FROM jobs",
    "SELECT 1; COPY jobs TO '{file}'",
    "COMMIT; DROP TABLE answers",
    "WITH gone AS (DELETE FROM jobs RETURNING id) SELECT * FROM gone",
    "WITH x AS (SELECT 1) DELETE FROM jobs",
    "EXPLAIN ANALYZE DELETE FROM jobs",
    "SELECT * INTO stolen FROM jobs",
    "CREATE TEMP TABLE x (a int)",
    "SELECT id FROM jobs FOR UPDATE",
    "TRUNCATE jobs",
    "DO $$ BEGIN DELETE FROM jobs; END $$",
    "SELECT set_config('transaction_read_only', 'off', true)",
    "SELECT set_config('default_transaction_read_only', 'off', false)",
    "SELECT nextval('x')",
    "SELECT pg_advisory_lock(7381095)",
    "SELECT pg_terminate_backend(1)",
    "SELECT query_to_xml('DELETE FROM jobs', true, true, '')",
    "SELECT lo_from_bytea(0, 'x')",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT \"pg_read_file\" ('/etc/passwd')",
    "SELECT pg_catalog . PG_READ_FILE /* */ ('/etc/passwd')",
    "SELECT U&\"pg\\005fread_file\"('/etc/passwd')",
    "SELECT * FROM pg_ls_dir('/')",
    "COPY jobs TO PROGRAM 'touch {file}'",
    "COPY jobs TO '{file}'",
    "-- SELECT\nCOPY jobs TO '{file}'",
    "/* /* */ SELECT */ COPY jobs TO '{file}'",
    "(((COPY jobs TO '{file}'",
    "ATTACH DATABASE '{file}' AS more",
    "VACUUM INTO '{file}'",
    "PRAGMA writable_schema = 1",
    "PRAGMA query_only = 0",
    "SELECT * FROM pragma_query_only(0)",
    "SELECT load_extension('{file}')",
    "SELECT fts3_tokenizer('simple')",
    "SELECT writefile('{file}', 'x')",
    "",
    "-- only a comment",
    "SELECT '\0'",
    "SELECT '\ud800'",
]


def _found(url: str, sql: str, timeout_s: float = 30) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    with run_query(url, sql, timeout_s=timeout_s) as found:
        return found.columns, list(found.rows)


def test_nothing_is_written_whatever_is_asked(engine: Engine, database_url: str, tmp_path: Path) -> None:
    accepted(Ledger(engine, worker="here"), 2)
    aside = tmp_path / "aside"
    assert [attack for attack in ATTACKS if not _is_refused(database_url, attack.replace("{file}", str(aside)))] == []
    assert not aside.exists()
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT COUNT(*) FROM jobs")) == 2
        assert connection.scalar(text("SELECT COUNT(*) FROM thresholds WHERE name = 'x'")) == 0


def _is_refused(url: str, sql: str) -> bool:
    try:
        _found(url, sql)
    except InputError as error:
        return str(error).startswith("sql: ")
    return False


def test_columns_and_rows_come_as_they_are_and_without_rows_too(database_url: str) -> None:
    assert _found(database_url, "SELECT 1 AS one, 'a%s :b' AS two, NULL AS one;") == (
        ("one", "two", "one"),
        [(1, "a%s :b", None)],
    )
    assert _found(database_url, "select job_id, state from v_jobs") == (("job_id", "state"), [])
    assert _found(database_url, "VALUES (1), (2)")[1] == [(1,), (2,)]
    assert _found(database_url, "EXPLAIN SELECT 1")[1]


def test_every_view_can_be_asked_for_all_and_for_each_of_its_columns(engine: Engine, database_url: str) -> None:
    billed(engine)
    views = [name for name in inspect(engine).get_view_names() if name.startswith("v_")]
    assert len(views) > 10
    for view in views:
        columns, rows = _found(database_url, f"SELECT * FROM {view}")  # noqa: S608
        quoted = ", ".join(f'"{name}"' for name in columns)
        assert len(_found(database_url, f"SELECT {quoted} FROM {view}")[1]) == len(rows)  # noqa: S608


def test_money_is_whole_on_both_engines(engine: Engine, database_url: str) -> None:
    billed(engine)
    _, [(total,)] = _found(database_url, "SELECT CAST(SUM(cost_nano_usd) AS BIGINT) FROM v_cost_daily")
    assert isinstance(total, int)


def test_what_takes_too_long_is_ended_and_the_ledger_goes_on(engine: Engine, database_url: str) -> None:
    with pytest.raises(TimeoutError, match=r"^sql: not done after 0.3 s: narrow it, or allow more with --timeout-s$"):
        _found(database_url, ENDLESS, timeout_s=0.3)
    accepted(Ledger(engine, worker="here"))


def test_the_limit_holds_while_rows_are_read(database_url: str) -> None:
    numbers = "WITH RECURSIVE m(j) AS (SELECT 1 UNION ALL SELECT j + 1 FROM m WHERE j < 2000) SELECT j FROM m"
    slow = f"{numbers} WHERE j < 1500 OR j = ({ENDLESS})"
    with pytest.raises(TimeoutError), run_query(database_url, slow, timeout_s=0.5) as found:
        assert len(list(found.rows)) < 1500


def test_it_reads_while_others_write(engine: Engine, database_url: str) -> None:
    ledger = Ledger(engine, worker="here")
    accepted(ledger, 1000)
    with run_query(database_url, "SELECT job_id FROM v_jobs", timeout_s=30) as found:
        assert next(found.rows)
        writer = Thread(target=accepted, args=(ledger, 10))
        writer.start()
        writer.join(20)
        assert not writer.is_alive()
        assert len(list(found.rows)) == 999
    assert _found(database_url, "SELECT COUNT(*) FROM v_jobs")[1] == [(1010,)]


def test_what_the_engine_says_is_said_in_its_first_line(database_url: str) -> None:
    for wrong in ("SELECT nope FROM v_jobs", "SELECT * FROM nowhere", "SELECT ("):
        with pytest.raises(InputError) as caught:
            _found(database_url, wrong)
        assert re.match(r"sql: .*(nope|nowhere|syntax|incomplete)", str(caught.value))
        assert "\n" not in str(caught.value)


def test_times_and_documents_are_texts(postgres_url: str) -> None:
    sql = "SELECT TIMESTAMPTZ '2026-11-25 01:00+01', DATE 'infinity', '{\"a\": 1}'::jsonb, 1.50::numeric, '{1}'::int[]"
    _, [row] = _found(postgres_url, sql)
    assert (*map(str, row),) == ("2026-11-25 00:00:00+00", "infinity", '{"a": 1}', "1.50", "[1]")


def test_without_a_ledger_nothing_is_made(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="there is none yet; the first `stepdown submit` makes it"):
        _found(f"sqlite:///{tmp_path}/none.db", "SELECT 1")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(LedgerError):
        _found(f"postgresql://nobody:secret@127.0.0.1:{free_port()}/x", "SELECT 1")
    (tmp_path / "text.db").write_text("no database, but a text that is long enough to be taken for one" * 100)
    with pytest.raises(LedgerError, match="not a database"):
        _found(f"sqlite:///{tmp_path}/text.db", "SELECT * FROM jobs")


def test_a_ledger_with_an_odd_name_is_opened(tmp_path: Path) -> None:
    with opened(f"sqlite:///{tmp_path}/led ger#1.db") as engine, engine.begin() as connection:
        connection.execute(text("CREATE TABLE t (a)"))
    assert _found(f"sqlite:///{tmp_path}/led ger#1.db", "SELECT * FROM t") == (("a",), [])
