"""A whole site of real processes that a test may kill, freeze and start again, one by one."""

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import psutil
from sqlalchemy import Engine, text

from migrations.run import upgrade
from models.queue.broker import server_pid
from producer.client import Batch, Producer
from producer.prompt.prompt import Prompt
from producer.running.start import worker_command
from producer.simulator.process import RunningSimulator, running_simulator
from tests.support.eventually import eventually
from tests.support.servers.fixtures import opened
from tests.support.servers.ports import free_port
from tests.support.servers.postgres import created_cluster
from tests.support.servers.valkey import running_valkey
from tests.support.sites import warm_start
from tests.support.sites.worker_site import ROOT, environment_of, settings_of

LEASE_S = 3.0
_START_S = 60
_END_S = 60
_PASSWORD = "of-a-throw-away-broker"  # noqa: S105
_TIMES = {"USUAL": "5", "GRACE": "3", "LIVE": "20", "POLL": "0.3", "LOST": "4"}  # of half price
_USUAL = {"LEASE_S": f"{LEASE_S:g}", "CLOCK_TICK_S": "0.2", "DRAIN_S": "10", "PAUSE_BATCH_AFTER": "0"} | {
    f"HALF_PRICE_{name}_S": value for name, value in _TIMES.items()
}


@dataclass(slots=True)
class Server:
    """A server that can be stopped and started again where it was; `open` runs it for a block and yields its pid."""

    open: Any
    killer: signal.Signals = signal.SIGKILL
    _running: ExitStack | None = None
    pid: int = 0

    def start(self) -> None:
        """Run it, until it is stopped."""
        self._running = ExitStack()
        self.pid = self._running.enter_context(self.open())

    def stop(self) -> None:
        """End it, if it runs."""
        if self._running is not None:
            self._running.close()
            self._running = None

    def crash(self) -> None:
        """End it without a chance to put anything in order."""
        if self.pid:
            os.kill(self.pid, self.killer)
        self.stop()

    def freeze(self) -> None:
        """Stop its processes where they are: connections stay open, and nothing answers."""
        for process in _family(self.pid):
            with suppress(psutil.NoSuchProcess):  # Postgres ends a process of its own when a connection closes
                process.suspend()

    def thaw(self) -> None:
        """Let them go on."""
        for process in _family(self.pid):
            with suppress(psutil.NoSuchProcess):
                process.resume()


@dataclass(slots=True)
class Worker:
    """One worker process."""

    process: subprocess.Popen[bytes]
    log: Path
    is_wanted: bool = True  # nobody has ended it

    @property
    def pid(self) -> int:
        """Tell its process id."""
        return self.process.pid

    def is_alive(self) -> bool:
        """Tell whether it has not ended."""
        return self.process.poll() is None

    def ready(self) -> Self:
        """Wait until it takes jobs."""
        eventually(lambda: " ready." in self.message() or not self.is_alive(), within_s=_START_S, because="it starts")
        assert self.is_alive(), self.message()
        return self

    def kill(self) -> None:
        """End it without a chance to do anything."""
        self.is_wanted = False
        self.process.kill()
        self.process.wait(_END_S)

    def ask_to_end(self) -> None:
        """Send what a deploy sends."""
        self.is_wanted = False
        self.process.terminate()

    def ended(self, *, within_s: float = _END_S) -> int:
        """Wait for its end; returns its exit code."""
        return self.process.wait(within_s)

    def freeze(self) -> None:
        """Stop it where it is."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)

    def message(self) -> str:
        """Read its log."""
        return self.log.read_text(encoding="utf-8", errors="replace")


@dataclass(kw_only=True)
class Site:
    """Broker, ledger, simulator and workers; a producer that submits."""

    folder: Path
    simulator: RunningSimulator
    broker: Server
    database: Server
    engine: Engine
    variables: Mapping[str, str]
    workers: list[Worker] = field(default_factory=list)
    _until_end: ExitStack = field(default_factory=ExitStack)

    @cached_property
    def producer(self) -> Producer:
        """Open a producer; the schema must be this version's by then."""
        return self._until_end.enter_context(Producer(settings_of(self.variables)))

    def hire(self, **variables: str) -> Worker:
        """Start a worker, and wait until it takes jobs."""
        worker = self.hire_at_once(**variables)
        return worker.ready()

    def hire_at_once(self, **variables: str) -> Worker:
        """Start a worker and do not wait. With PYTHONPATH among the variables, it is another version's."""
        environment = dict(self.variables) | variables
        log = self.folder / f"worker-{len(self.workers)}.log"
        with log.open("ab") as words:
            process = warm_start.Popen(
                worker_command(settings_of(environment)), cwd=ROOT, env=environment, stdout=words, stderr=words
            )
        worker = Worker(process, log)
        self.workers.append(worker)
        return worker

    def submit(self, count: int, *, max_tokens: int = 1024, **options: Any) -> Batch:
        """Submit so many prompts, each of its own."""
        texts = [f"Summarize: harbour {number} was dredged." for number in range(count)]
        prompts = [Prompt(text, id=str(number), max_tokens=max_tokens) for number, text in enumerate(texts)]
        return self.producer.submit(prompts, **options)

    def finished(self, batch: Batch, *, within_s: float = 60) -> None:
        """Wait until every job of the batch has ended."""
        eventually(lambda: batch.progress().is_finished, within_s=within_s, because="every job of the batch ends")

    def rows(self, statement: str, **given: Any) -> list[dict[str, Any]]:
        """Ask the ledger in SQL."""
        with self.engine.connect() as connection:
            return [dict(row) for row in connection.execute(text(statement), given).mappings()]

    def in_flight(self) -> int:
        """Count the calls the simulator is at."""
        return int(self.simulator.stats()["in_flight"])

    def close(self) -> None:
        """End every worker, frozen ones too."""
        for worker in self.workers:
            if worker.is_alive():
                worker.process.kill()
                worker.process.wait(_END_S)
        self._until_end.close()


@contextmanager
def open_site(
    engine_name: str,
    folder: Path,
    *,
    script: str = "",
    latency_s: float = 0.0,
    keeps: bool = False,
    revision: str = "head",
    **variables: str,
) -> Iterator[Site]:
    """Build a site without workers; `script` is the simulator's, `variables` are settings of all workers.

    With `keeps` the broker's messages survive its restart. `revision` is the schema's.
    """
    with ExitStack() as until_end:
        log = folder / "purchases.jsonl"
        simulator = until_end.enter_context(running_simulator(script=script or None, latency_s=latency_s, log=log))
        broker, broker_url = _broker(folder, keeps=keeps)
        database, database_url = _database(engine_name, folder, until_end)
        for server in (broker, database):
            server.start()
            until_end.callback(server.stop)
            until_end.callback(server.thaw)
        engine = until_end.enter_context(opened(database_url))
        upgrade(engine, revision)
        servers = {"REDIS_URL": broker_url, "DATABASE_URL": database_url, "ANTHROPIC_BASE_URL": simulator.url}
        environment = environment_of(servers | {"STATE_DIR": str(folder)} | _USUAL | variables)
        site = Site(
            folder=folder,
            simulator=simulator,
            broker=broker,
            database=database,
            engine=engine,
            variables=environment,
        )
        until_end.callback(site.close)
        yield site


def _broker(folder: Path, *, keeps: bool) -> tuple[Server, str]:
    port, home = free_port(), folder / "broker"
    home.mkdir()

    @contextmanager
    def run() -> Iterator[int]:
        with running_valkey(home, port=port, password=_PASSWORD, keeps=keeps) as url:
            yield server_pid(url) or 0

    return Server(run), f"redis://tests:{_PASSWORD}@127.0.0.1:{port}/0"


def _database(engine_name: str, folder: Path, until_end: ExitStack) -> tuple[Server, str]:
    if engine_name == "sqlite":

        @contextmanager
        def nothing() -> Iterator[int]:
            yield 0

        return Server(nothing), f"sqlite:///{folder / 'ledger.db'}"
    cluster = until_end.enter_context(created_cluster())

    @contextmanager
    def run() -> Iterator[int]:
        with cluster.running() as server:
            yield server.pid

    return Server(run, signal.SIGQUIT), f"postgresql://tests:{cluster.password}@127.0.0.1:{cluster.port}/postgres"


def _family(pid: int) -> list[psutil.Process]:
    if not pid or not psutil.pid_exists(pid):
        return []
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]
