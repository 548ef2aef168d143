"""The real parts a test may ask for. None is ever skipped: a part that is missing is a failure."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from sqlalchemy import Engine

from migrations.run import upgrade
from models.database.engine import open_database
from models.ledger.job_actions import JobActions
from models.ledger.leases import Leases
from models.ledger.ledger import Ledger
from models.ledger.outbox import Outbox
from models.reports.jobs import Reports
from tests.support.servers.postgres import OWNER, Postgres, running_postgres
from tests.support.servers.valkey import running_valkey

_ENGINES = ("sqlite", "postgres")
TEMPLATE = "ledger_template"


@pytest.fixture(scope="session")
def valkey_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run one Valkey for the whole session. Tests take `redis_url`."""
    with running_valkey(tmp_path_factory.mktemp("valkey")) as url:
        yield url


@pytest.fixture
def redis_url(valkey_url: str) -> str:
    """Give a real Valkey with nothing in it."""
    with redis.Redis.from_url(valkey_url) as client:
        client.flushall()
    return valkey_url


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Run one Postgres for the whole session, with a migrated database to copy. Tests take `postgres_url`."""
    with running_postgres() as server:
        server.do(f"CREATE DATABASE {TEMPLATE} OWNER {OWNER}")
        with opened(server.url(TEMPLATE)) as engine:
            upgrade(engine)
        yield server


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Migrate one SQLite file, to be copied."""
    path = tmp_path_factory.mktemp("template") / "ledger.db"
    with opened(f"sqlite:///{path}") as engine:
        upgrade(engine)
    return path


@pytest.fixture
def postgres_url(postgres: Postgres) -> Iterator[str]:
    """Give a fresh Postgres database that has the ledger's tables."""
    with postgres.emptied(like=TEMPLATE) as url:
        yield url


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """Give a fresh SQLite file that has the ledger's tables."""
    path = shutil.copy(sqlite_template, tmp_path / "ledger.db")
    return f"sqlite:///{path}"


@pytest.fixture(params=_ENGINES)
def database_url(request: pytest.FixtureRequest) -> str:
    """Give a fresh database that has the ledger's tables; the test runs once on each engine."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture(params=_ENGINES)
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Give a fresh database without any table; the test runs once on each engine."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.db'}"
        return
    server: Postgres = request.getfixturevalue("postgres")
    with server.database() as url:
        yield url


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """Open that database, and close every connection to it at the end."""
    with opened(database_url) as engine:
        yield engine


@pytest.fixture
def ledger(engine: Engine) -> Ledger:
    """Write to that database."""
    return Ledger(engine, worker="here")


@pytest.fixture
def outbox(engine: Engine) -> Outbox:
    """Send from that database."""
    return Outbox(engine)


@pytest.fixture
def job_actions(engine: Engine) -> JobActions:
    """Give orders to that database."""
    return JobActions(engine)


@pytest.fixture
def leases(engine: Engine) -> Leases:
    """Renew and rescue in that database."""
    return Leases(engine)


@pytest.fixture
def reports(engine: Engine) -> Reports:
    """Read from that database."""
    return Reports(engine)


@contextmanager
def opened(url: str) -> Iterator[Engine]:
    """Open a database for a block."""
    engine = open_database(url)
    try:
        yield engine
    finally:
        engine.dispose()
