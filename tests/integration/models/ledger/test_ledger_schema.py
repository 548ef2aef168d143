"""A database that is away or of another version is refused in one line; a new SQLite file is made ready, once."""

import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import Engine, inspect, text

from migrations.run import downgrade, ensure_schema, revisions, upgrade
from models.database.engine import open_database
from models.errors import LedgerError, SettingsError
from models.ledger.ledger import Ledger
from models.ledger.outbox import Outbox
from models.reports.jobs import Reports
from tests.support.ledgers.job_values import accepted
from tests.support.servers.fixtures import opened
from tests.support.servers.ports import free_port
from tests.support.threads_at_once import at_once

_MAKE_READY = """
import sys
from migrations.run import ensure_schema
from models.database.engine import open_database
engine = open_database(sys.argv[1])
ensure_schema(engine)
engine.dispose()
"""


def _set_revision(engine: Engine, revision: str) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})


def test_a_schema_of_this_version_is_left_alone(engine: Engine, ledger: Ledger, outbox: Outbox) -> None:
    accepted(ledger, 2)
    ensure_schema(engine)
    current, newest = revisions(engine)
    assert current == newest
    assert len(outbox.unsent(0, limit=10)) == 2


@pytest.mark.parametrize(
    ("revision", "fix"), [("9999", "made by a newer version"), ("0000", "run `stepdown db upgrade`")]
)
def test_a_schema_of_another_version_is_refused_with_what_to_do(engine: Engine, revision: str, fix: str) -> None:
    _set_revision(engine, revision)
    with pytest.raises(LedgerError, match=f"at revision {revision}, .*{fix}"):
        ensure_schema(engine)


def test_a_postgres_without_tables_is_not_changed_unasked(postgres_url: str) -> None:
    with opened(postgres_url) as engine:
        downgrade(engine, "base")
        with pytest.raises(LedgerError, match="at revision none") as caught:
            ensure_schema(engine)
        assert not inspect(engine).has_table("jobs")
    assert ":***@" in str(caught.value)


def test_a_new_sqlite_file_is_made_ready_with_its_folder(tmp_path: Path) -> None:
    with opened(f"sqlite:///{tmp_path}/deep/down/ledger.db") as engine:
        ensure_schema(engine)
        assert inspect(engine).has_table("attempts")


def test_threads_that_find_the_same_new_file_make_it_ready_once(tmp_path: Path) -> None:
    def make_ready(_number: int) -> None:
        with opened(f"sqlite:///{tmp_path}/ledger.db") as engine:
            ensure_schema(engine)

    at_once(6, make_ready)
    with opened(f"sqlite:///{tmp_path}/ledger.db") as engine:
        assert inspect(engine).has_table("attempts")


def test_processes_that_find_the_same_new_file_make_it_ready_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _MAKE_READY, f"sqlite:///{tmp_path}/ledger.db"]
    started = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    message = [process.communicate(timeout=60)[1] for process in started]
    assert [process.returncode for process in started] == [0, 0, 0, 0], message


def test_upgrades_of_one_postgres_at_once_take_turns(postgres_url: str) -> None:
    with opened(postgres_url) as engine:
        downgrade(engine, "base")

    def make_ready(_number: int) -> None:
        with opened(postgres_url) as engine:
            upgrade(engine)

    at_once(4, make_ready)
    with opened(postgres_url) as engine:
        assert revisions(engine)[0] == revisions(engine)[1]


def test_a_ledger_that_is_away_is_told_in_one_line_without_its_password() -> None:
    url = f"postgresql://us:canary-7391@127.0.0.1:{free_port()}/ledger"
    with opened(url) as engine:
        for use in (
            lambda: Ledger(engine, worker="here").claim("id", lease_s=1),
            lambda: Reports(engine).batches(limit=1),
            lambda: ensure_schema(engine),
        ):
            with pytest.raises(LedgerError) as caught:
                use()
            message = str(caught.value)
            assert message.startswith("ledger postgresql+psycopg://us:***@127.0.0.1:")
            assert "canary-7391" not in message
            assert "\n" not in message


def test_a_wrong_password_is_told_without_it(postgres_url: str) -> None:
    wrong = postgres_url.replace("tests:", "tests:canary-7391")
    with opened(wrong) as engine, pytest.raises(LedgerError, match="password authentication failed") as caught:
        Ledger(engine, worker="here").claim("id", lease_s=1)
    assert "canary-7391" not in str(caught.value)


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_text("Dear diary," * 1000, encoding="utf-8")
    with opened(f"sqlite:///{tmp_path}/ledger.db") as engine, pytest.raises(LedgerError, match="not a database"):
        ensure_schema(engine)


@pytest.mark.parametrize("url", ["mysql://us:canary-7391@host/ledger", "ledger.db", "sqlite+aiosqlite:///x", ""])
def test_a_database_we_do_not_speak_is_refused_with_the_fix(url: str) -> None:
    with pytest.raises(SettingsError, match=r"DATABASE_URL=.*write sqlite:///") as caught:
        open_database(url)
    assert "canary-7391" not in str(caught.value)
