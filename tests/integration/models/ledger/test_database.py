"""How the ledger's database is held: a file that is gone is noticed, and no lock of a lost host stops the others."""

import os
import shutil
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from time import monotonic

import psycopg
import pytest
from sqlalchemy import Engine, text

from models.database.engine import WORKER, open_database
from models.errors import LedgerError, LedgerGoneError
from models.job.strays import Rescue
from models.ledger.leases import Leases
from models.ledger.ledger import Ledger
from models.ledger.outbox import Outbox
from models.outcome import State
from tests.support.eventually import eventually
from tests.support.ledgers.job_values import accepted, claimed, opening
from tests.support.servers.fixtures import opened
from tests.support.sites.worker_site import Plant, idle_plant, running_worker

_BACKEND_KEY_DATA = b"K"


@pytest.fixture
def path(sqlite_url: str) -> Path:
    """Name the file of a fresh SQLite ledger."""
    return Path(sqlite_url.removeprefix("sqlite:///"))


def _removed(path: Path) -> None:
    path.unlink()


def _replaced(path: Path) -> None:
    copy = path.with_suffix(".copy")
    shutil.copy(path, copy)
    copy.rename(path)


def _moved(path: Path) -> None:
    path.rename(path.with_suffix(".away"))


def _folder_removed(path: Path) -> None:
    shutil.rmtree(path.parent)


def _log_removed(path: Path) -> None:
    path.with_name(f"{path.name}-wal").unlink()


@pytest.mark.parametrize("change", [_removed, _replaced, _moved, _folder_removed, _log_removed])
def test_a_sqlite_file_that_is_no_longer_there_takes_no_attempt_and_is_not_made_anew(
    path: Path, change: object
) -> None:
    with opened(f"sqlite:///{path}") as engine:
        ledger = Ledger(engine, worker="here")
        _, (job_id, other) = accepted(ledger, 2)
        claim = claimed(ledger, job_id)
        assert ledger.open_attempt(claim, opening())
        ledger.look()
        assert callable(change)
        change(path)
        was_there = path.exists()
        for act in (
            ledger.look,
            lambda: ledger.claim(other, lease_s=30),
            lambda: ledger.open_attempt(claim, opening(2)),
            lambda: Outbox(engine).unsent(0, limit=9),
        ):
            with pytest.raises(LedgerGoneError, match="was removed or replaced while this process had it open"):
                act()
        assert path.exists() is was_there


def test_a_ledger_that_two_processes_use_and_close_is_the_same_file_all_the_while(path: Path) -> None:
    with opened(f"sqlite:///{path}") as ours:
        for _ in range(3):
            with opened(f"sqlite:///{path}") as theirs:
                accepted(Ledger(theirs, worker="there"))
            accepted(Ledger(ours, worker="here"))
            Ledger(ours, worker="here").look()


@pytest.mark.parametrize("plant", ["sqlite"], indirect=True)
def test_a_worker_whose_ledger_is_removed_ends_with_its_reason_and_buys_nothing_more(plant: Plant) -> None:
    plant.simulator.set_script("[[rules]]\nanswer = 'slow'\ndelay_s = 0.3")
    path = Path(plant.variables["DATABASE_URL"].removeprefix("sqlite:///"))
    with running_worker(plant.variables, plant.worker_log) as pid:
        plant.submit(*(f"Harbour {number} was dredged in spring." for number in range(200)))
        eventually(plant.simulator.purchases, within_s=20, because="the first jobs are called")
        path.unlink()
        bought = len(plant.simulator.purchases())
        eventually(lambda: _ended(pid) is not None, within_s=60, because="the worker ends")
        assert _ended(pid) == 4
        # A thread of each call in flight, and one that was between its commit and its first byte.
        assert len(plant.simulator.purchases()) <= bought + 16
    assert f"the worker ends: ledger {path}: the file was removed or replaced" in plant.worker_log.read_text()
    plant.batches.clear()


@pytest.fixture
def plant(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Plant]:
    """Prepare everything but the worker."""
    with idle_plant(request, tmp_path) as plant:
        yield plant


def _ended(pid: int) -> int | None:
    """Read the code that a process of ours ended with; None while it runs. Its parent may still wait for it."""
    found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    return None if found is None else found.si_status


@contextmanager
def _held(url: str, job_id: str) -> Iterator[None]:
    """Hold the lock of a job's row, as a host does that was cut off within its transaction."""
    with psycopg.connect(url) as connection:
        connection.execute("SELECT 1 FROM jobs WHERE id = %s FOR UPDATE", [job_id])
        yield


def test_a_row_that_a_lost_host_holds_delays_nobody(postgres_url: str) -> None:
    with opened(postgres_url) as engine:
        ledger, leases, outbox = Ledger(engine, worker="here"), Leases(engine), Outbox(engine)
        _, (held, free) = accepted(ledger, 2)
        claims = [claimed(ledger, job_id) for job_id in (held, free)]
        began = monotonic()
        with _held(postgres_url, held):
            leases.renew(claims, lease_s=0.001)
            with engine.begin() as connection:
                connection.execute(text("SELECT pg_sleep(0.1)"))
            _end_leases(postgres_url, free)
            strays = {stray.job_id: stray for stray in leases.strays(limit=9)}
            assert set(strays) == {free}
            rescue = Rescue(state=State.QUEUED, outcome=None, error=None, rung=0, given_up={}, crashes=1, rebuys=0)
            assert leases.rescue(strays[free], rescue)
            outbox.mark_sent(outbox.unsent(0, limit=9))
            assert outbox.forget_lost(0, older_than_s=-1) == 1
            assert outbox.wake(0, limit=9) == 0
        assert monotonic() - began < 10


def test_a_stray_that_is_held_is_left_to_a_later_look(postgres_url: str) -> None:
    with opened(postgres_url) as engine:
        ledger, leases = Ledger(engine, worker="here"), Leases(engine)
        _, (job_id,) = accepted(ledger, 1)
        claimed(ledger, job_id)
        _end_leases(postgres_url, job_id)
        (stray,) = leases.strays(limit=9)
        rescue = Rescue(state=State.QUEUED, outcome=None, error=None, rung=0, given_up={}, crashes=1, rebuys=0)
        with _held(postgres_url, job_id):
            assert not leases.rescue(stray, rescue)
        assert leases.rescue(stray, rescue)


def _end_leases(url: str, job_id: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE jobs SET lease_until = '2026-01-01' WHERE id = %s", [job_id])


def _shown(engine: Engine, *names: str) -> list[str]:
    with engine.connect() as connection:
        return [connection.execute(text(f"SHOW {name}")).scalar_one() for name in names]


def test_a_session_says_who_it_is_and_gives_its_locks_up(postgres_url: str) -> None:
    names = ("application_name", "lock_timeout", "idle_in_transaction_session_timeout", "tcp_keepalives_idle")
    for kind, reported in (
        (WORKER, ["stepdown worker", "15s", "10s", "10"]),
        ("serve", ["stepdown serve", "1min", "10min", "10"]),
    ):
        engine = open_database(postgres_url, kind=kind)
        assert _shown(engine, *names) == reported
        engine.dispose()
    engine = open_database(f"{postgres_url}?application_name=mine")
    assert _shown(engine, "application_name") == ["mine"]
    engine.dispose()


def test_no_more_connections_are_made_than_the_setting_says(postgres_url: str) -> None:
    engine = open_database(postgres_url, connections=3)
    engine.pool._timeout = 0.1  # type: ignore[attr-defined]  # noqa: SLF001 - a minute, otherwise
    ledger = Ledger(engine, worker="here")
    held = [engine.connect() for _ in range(3)]
    with pytest.raises(LedgerError, match="QueuePool limit of size 3"):
        ledger.claim("a job", lease_s=30)
    for connection in held:
        connection.close()
    engine.dispose()


@contextmanager
def _pooler(url: str) -> Iterator[str]:
    """Stand between a client and Postgres with a process id of one's own, as a pooler does."""
    port = int(url.rpartition("@")[2].partition(":")[2].partition("/")[0])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        Thread(target=_serve, args=(listener, port), daemon=True).start()
        yield url.replace(f":{port}/", f":{listener.getsockname()[1]}/")


def _serve(listener: socket.socket, port: int) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        Thread(target=_stand_between, args=(client, port), daemon=True).start()


def _stand_between(client: socket.socket, port: int) -> None:
    with client, socket.create_connection(("127.0.0.1", port)) as server:
        asking = Thread(target=_copy, args=(client, server), daemon=True)
        asking.start()
        _answers(server, client)
        asking.join()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    while got := source.recv(65536):
        sink.sendall(got)
    sink.shutdown(socket.SHUT_WR)  # Postgres ends its part then, and both are closed


def _answers(server: socket.socket, client: socket.socket) -> None:
    with server.makefile("rb") as words:
        client.sendall(words.read(1))  # no TLS, as Postgres says to the client's question
        while kind := words.read(1):
            size = words.read(4)
            body = words.read(struct.unpack("!I", size)[0] - 4)
            if kind == _BACKEND_KEY_DATA:
                body = struct.pack("!I", 7) + body[4:]
            client.sendall(kind + size + body)


def test_behind_a_pooler_nothing_stays_in_a_session(postgres_url: str) -> None:
    with _pooler(postgres_url) as url:
        engine = open_database(url, connections=2, kind=WORKER)
        ledger = Ledger(engine, worker="here")
        _, jobs = accepted(ledger, 20)
        for job_id in jobs:
            assert ledger.open_attempt(claimed(ledger, job_id), opening())
        assert _shown(engine, "lock_timeout", "idle_in_transaction_session_timeout") == ["15s", "10s"]
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
            connection.rollback()
            assert connection.execute(text("SHOW lock_timeout")).scalar_one() == "0"
            assert connection.execute(text("SELECT count(*) FROM pg_prepared_statements")).scalar_one() == 0
        engine.dispose()
    with opened(postgres_url) as direct, direct.connect() as connection:
        assert connection.execute(text("SHOW lock_timeout")).scalar_one() == "1min"
