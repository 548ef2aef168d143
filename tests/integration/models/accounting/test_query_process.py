"""A person's query is bounded by the system: in time, memory, rows and number; and it has no superuser's rights."""

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Thread
from typing import Any

import psutil
import psycopg
import pytest
from sqlalchemy import Engine

from models.accounting.adhoc_sql import AT_ONCE, run_query
from models.errors import InputError
from tests.support.eventually import eventually
from tests.support.ledgers.six_weeks import billed
from tests.support.peak_memory import resident_bytes
from tests.support.servers.fixtures import opened
from tests.support.servers.postgres import Postgres
from tests.support.sites.command_line import stranger_in

# ruff: noqa: S608 - the queries are a person's own

NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
ENDLESS = f"{NUMBERS} SELECT COUNT(*) FROM n"
_LONG = "hex(zeroblob(15000000))"
# Each is one step of SQLite's, or a few: between two steps nobody looks at the clock.
_TEXT = "hex(zeroblob(4000000))"
_ONE_STEP = [
    f"SELECT instr({_TEXT}, substr({_TEXT}, 1, 4000000) || 'y')",
    "SELECT instr(zeroblob(8000000), CAST(zeroblob(4000000) || 'y' AS BLOB))",
    f"SELECT trim({_TEXT}, replace(hex(zeroblob(500000)), '0', 'y') || '0')",
    "SELECT printf('%.*c', 1000000000, 'x')",
]
_HUNGRY = [
    f"SELECT {', '.join(f'{_LONG} AS c{number}' for number in range(20))}",
    f"{NUMBERS}, m AS (SELECT hex(zeroblob(10000000)) AS t FROM n LIMIT 30) SELECT json_group_array(t) FROM m",
    f"{NUMBERS} SELECT group_concat(t) FROM (SELECT hex(randomblob(500000)) AS t FROM n LIMIT 100)",
]


@pytest.fixture(autouse=True)
def _own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take no place from the queries of tests that run beside us."""
    monkeypatch.setattr("models.accounting.adhoc_sql.gettempdir", lambda: str(tmp_path))


def _found(url: str, sql: str, **bounds: Any) -> list[tuple[Any, ...]]:
    with run_query(url, sql, **{"timeout_s": 60, **bounds}) as found:
        return list(found.rows)


@pytest.mark.parametrize("sql", _ONE_STEP)
def test_the_time_limit_holds_inside_one_function(sqlite_url: str, sql: str) -> None:
    with pytest.raises((TimeoutError, InputError), match=r"^sql: (not done after 1 s: |a value .* longer than 32 MB)"):
        _found(sqlite_url, sql, timeout_s=1)
    assert _queries() == []


def test_a_function_that_takes_an_hour_is_late_after_a_second(sqlite_url: str) -> None:
    with pytest.raises(TimeoutError, match=r"^sql: not done after 1 s: narrow it, or allow more with --timeout-s$"):
        _found(sqlite_url, _ONE_STEP[0], timeout_s=1)


@pytest.mark.parametrize("sql", _HUNGRY)
def test_memory_is_bounded_and_said_to_be(sqlite_url: str, sql: str) -> None:
    with pytest.raises(InputError, match=r"^sql: .*(MB of memory|longer than 32 MB)"):
        _found(sqlite_url, sql)


def test_a_cell_as_long_as_the_longest_request_is_read(sqlite_url: str) -> None:
    ((cell,),) = _found(sqlite_url, f"SELECT {_LONG}")
    assert len(cell) == 30_000_000


def test_temporary_files_are_bounded(sqlite_url: str) -> None:
    with pytest.raises(InputError, match=r"^sql: it needs a temporary file of more than 256 MB: narrow it$"):
        _found(sqlite_url, f"{NUMBERS} SELECT i, randomblob(100000) AS b FROM n ORDER BY b", timeout_s=300)


def test_rows_and_bytes_are_bounded_and_the_cut_is_told(database_url: str) -> None:
    numbers = f"{NUMBERS} SELECT i, 'abcdefgh' AS word FROM n LIMIT 1000"
    for rows, size, count, cut in ((0, 10**6, 1000, None), (7, 10**6, 7, "rows"), (0, 60, 4, "bytes")):
        with run_query(database_url, numbers, timeout_s=60, most_rows=rows, most_bytes=size) as found:
            assert (len(list(found.rows)), found.cut) == (count, cut)
    with pytest.raises(InputError, match=r"a row has more than 9 characters: name fewer columns"):
        _found(database_url, numbers, most_bytes=9)
    with pytest.raises(InputError, match=r"a query has at most 1,000,000 characters"):
        _found(database_url, f"SELECT {'1' * 1_000_000}")


def test_sixteen_heavy_queries_take_turns_within_a_gigabyte(sqlite_url: str) -> None:
    seen: list[tuple[int, float]] = []
    ended = Event()

    def watch() -> None:
        while not ended.wait(0.05):
            sizes = [size for size in map(resident_bytes, _queries()) if size]
            seen.append((len(sizes), sum(sizes) / 1e6))

    def ask(number: int) -> str:
        try:
            _found(sqlite_url, _HUNGRY[2] if number % 2 else ENDLESS, timeout_s=1)
        except (TimeoutError, InputError) as error:
            return str(error)
        return "answered"

    watcher = Thread(target=watch)
    watcher.start()
    with ThreadPoolExecutor(16) as threads:
        message = list(threads.map(ask, range(16)))
    ended.set()
    watcher.join()
    assert 1 <= max(count for count, _ in seen) <= AT_ONCE
    assert max(megabytes for _, megabytes in seen) < 1_000
    assert "answered" not in message
    assert _found(sqlite_url, "SELECT 1") == [(1,)]


def test_who_waits_too_long_for_others_is_told(sqlite_url: str) -> None:
    stop = Event()
    with ThreadPoolExecutor(AT_ONCE) as threads:
        for _ in range(AT_ONCE):
            threads.submit(_found, sqlite_url, ENDLESS, timeout_s=60, stop=stop)
        eventually(lambda: len(_queries()) == AT_ONCE, within_s=30, because="all places are taken")
        with pytest.raises(
            TimeoutError, match=r"^sql: 3 other queries run, and none has ended in 5 s: ask again later$"
        ):
            _found(sqlite_url, "SELECT 1", timeout_s=1)
        stop.set()
    assert _queries() == []


def test_a_query_ends_with_who_asked_it(database_url: str) -> None:
    script = "import sys; from models.accounting import adhoc_sql\n"
    script += "with adhoc_sql.run_query(*sys.argv[1:], timeout_s=600) as f: list(f.rows)"
    for end in (psutil.Process.kill, psutil.Process.terminate):
        command = [sys.executable, "-c", script, database_url, ENDLESS]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            children = psutil.Process(process.pid).children
            eventually(children, within_s=60, because="the query begins")
            (query,) = children()
            end(psutil.Process(process.pid))
            process.wait(30)
            query.wait(30)


def test_an_ended_query_ends_at_the_server_too(postgres: Postgres, postgres_url: str) -> None:
    stop = Event()
    with ThreadPoolExecutor(1) as threads:
        asking = threads.submit(_found, postgres_url, ENDLESS, timeout_s=600, stop=stop)
        running = _at_server(postgres, postgres_url)
        eventually(running, within_s=60, because="the query runs")
        stop.set()
        assert asking.exception(60) is not None
    eventually(lambda: not running(), within_s=30, because="the server was told to cancel")


def test_a_superuser_is_refused_until_there_is_an_analyst(
    postgres: Postgres, postgres_url: str, engine: Engine, tmp_path: Path
) -> None:
    billed(engine)
    mighty = postgres.as_superuser(postgres_url)
    with pytest.raises(
        InputError, match=r"^sql: postgres may read every password of this Postgres, .*db analyst --apply"
    ):
        _found(mighty, "SELECT 1")
    me = stranger_in(tmp_path, DATABASE_URL=mighty)
    reported = me.types("db", "analyst", "--apply")
    assert reported.out.startswith(
        "stepdown_analyst may read the views of postgresql+psycopg://postgres:***@127.0.0.1:"
    )
    assert _found(mighty, "SELECT current_user, COUNT(*) > 0 FROM v_attempts") == [("stepdown_analyst", True)]
    for secret in ("pg_authid", "pg_shadow", "jobs", "answers", "pg_hba_file_rules"):
        with pytest.raises(InputError, match=r"permission denied|may do more than read"):
            _found(mighty, f"SELECT * FROM {secret}")
    with psycopg.connect(mighty, autocommit=True) as connection:
        connection.execute("DROP OWNED BY stepdown_analyst")
        connection.execute("DROP ROLE stepdown_analyst")


def test_who_may_read_the_passwords_by_another_right_is_refused_too(postgres: Postgres, postgres_url: str) -> None:
    with psycopg.connect(postgres.as_superuser(postgres_url), autocommit=True) as connection:
        connection.execute("GRANT pg_read_all_data TO tests")
        try:
            with pytest.raises(InputError, match=r"^sql: tests may read every password of this Postgres"):
                _found(postgres_url, "SELECT rolpassword FROM pg_authid")
        finally:
            connection.execute("REVOKE pg_read_all_data FROM tests")
    with pytest.raises(InputError, match=r"permission denied for table pg_authid"):
        _found(postgres_url, "SELECT rolpassword FROM pg_authid")


@pytest.fixture
def engine(postgres_url: str) -> Any:
    """Open the Postgres ledger."""
    with opened(postgres_url) as engine:
        yield engine


def _queries() -> list[psutil.Process]:
    return [process for process in psutil.Process().children() if _is_query(process)]


def _is_query(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE and "query_process.py" in " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return False


def _at_server(postgres: Postgres, url: str) -> Callable[[], list[Any]]:
    run_query = "SELECT pid FROM pg_stat_activity WHERE application_name = 'stepdown query' AND state = 'active'"

    def look() -> list[Any]:
        with psycopg.connect(postgres.as_superuser(url)) as connection:
            return connection.execute(run_query.encode()).fetchall()

    return look
