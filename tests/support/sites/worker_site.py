"""Runs a real worker process on a real broker and a real ledger, with the simulator as its API."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis
from sqlalchemy import Engine, select

from migrations.run import upgrade
from models.job.answer import Answer
from models.queue.redis_keys import admission_prefix, queue_key
from models.schema.attempt import Attempt
from models.schema.job import Job
from models.settings import Settings, load_settings
from producer.client import Batch, Producer
from producer.prompt.prompt import Prompt
from producer.running.start import flower_command, flower_variables, worker_command
from producer.simulator.process import RunningSimulator, running_simulator
from tests.support.eventually import eventually
from tests.support.servers.fixtures import TEMPLATE, opened
from tests.support.servers.ports import free_port
from tests.support.servers.valkey import running_valkey
from tests.support.sites import warm_start

if TYPE_CHECKING:
    from tests.support.servers.postgres import Postgres

ROOT = Path(__file__).parents[3]
ENGINES = ("sqlite", "postgres")
OPUS, SONNET, HAIKU = "claude-opus-4-7", "claude-sonnet-4-6", "claude-haiku-4-5-20251001"
API_KEY = "sk-ant-canary-of-the-key"
FLOWER_PASSWORD = "a-word-for-flower"  # noqa: S105 - of a throw-away server
_START_S = 60
_END_S = 20
_OF_THE_SYSTEM = ("PATH", "HOME", "LANG", "TMPDIR")
_USUAL = {
    "ANTHROPIC_API_KEY": API_KEY,
    "MODEL_CHAIN": f"{OPUS},{SONNET},{HAIKU}",
    "TASK_STARTS": f"summarize:{HAIKU},synthesize:{OPUS}",
    "WORKER_CONCURRENCY": "8",
    "CALL_TIMEOUT_S": "20",
    "KEY_PAUSE_S": "1",
    "PATIENCE_S": "5",
    "CLOCK_TICK_S": "0.1",
    "SERVED_BATCHES": "live",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plant:
    """A worker with all it works with, and a producer to give it work."""

    simulator: RunningSimulator
    producer: Producer
    engine: Engine
    redis: redis.Redis
    variables: Mapping[str, str]
    worker_log: Path
    batches: list[Batch] = field(default_factory=list)

    def submit(self, *prompts: Prompt | str, task: str | None = None) -> Batch:
        """Submit prompts; whatever of them is still open when the test ends is cancelled."""
        batch = self.producer.submit([Prompt(one) if isinstance(one, str) else one for one in prompts], task=task)
        self.batches.append(batch)
        return batch

    def finished(self, batch: Batch, *, within_s: float = 30) -> list[Answer]:
        """Wait until every job of the batch has ended."""
        eventually(lambda: batch.progress().is_finished, within_s=within_s, because="every job of the batch ends")
        return list(batch.answers())

    def answered(self, *prompts: Prompt | str, task: str | None = None) -> tuple[Batch, Answer]:
        """Submit prompts and wait for them; returns the batch and its first answer."""
        batch = self.submit(*prompts, task=task)
        return batch, self.finished(batch)[0]

    def parked(self, batch: Batch) -> dict[str, Any]:
        """Wait until a job of the batch waits, and read its row."""
        eventually(lambda: batch.progress().states.get("waiting"), within_s=20, because="a job is parked")
        return next(row for row in self.jobs(batch) if row["state"] == "waiting")

    def jobs(self, batch: Batch) -> list[dict[str, Any]]:
        """Read the batch's job rows, in order."""
        return self._rows(select(Job.__table__).where(Job.batch_id == batch.id).order_by(Job.seq))

    def attempts(self, batch: Batch) -> list[dict[str, Any]]:
        """Read the batch's attempt rows, each job's in order."""
        ours = select(Attempt.__table__).where(Attempt.batch_id == batch.id)
        return self._rows(ours.order_by(Attempt.job_id, Attempt.attempt_no))

    def purchases(self, batch: Batch) -> list[dict[str, Any]]:
        """Read from the purchase log what was requested for the batch."""
        ours = {row["id"] for row in self.jobs(batch)}
        return [purchase for purchase in self.simulator.purchases() if purchase["job"] in ours]

    def queued_messages(self) -> int:
        """Count the messages in all rungs' queues."""
        return sum(self.redis.llen(queue_key(rung)) for rung in range(3))

    def _rows(self, statement: Any) -> list[dict[str, Any]]:
        with self.engine.connect() as connection:
            return [dict(row) for row in connection.execute(statement).mappings()]


@contextmanager
def running_plant(request: pytest.FixtureRequest, folder: Path, **variables: str) -> Iterator[Plant]:
    """Start a worker on the engine that `request.param` names; `variables` change its environment."""
    with ExitStack() as until_end:
        plant = until_end.enter_context(idle_plant(request, folder, **variables))
        until_end.enter_context(running_worker(plant.variables, plant.worker_log))
        yield plant


@contextmanager
def idle_plant(request: pytest.FixtureRequest, folder: Path, **variables: str) -> Iterator[Plant]:
    """Prepare everything but the worker."""
    with ExitStack() as until_end:
        url = _database_url(request, folder, until_end)
        yield until_end.enter_context(_plant(folder, request.getfixturevalue("valkey_url"), url, variables))


@contextmanager
def working_plant(folder: Path, **variables: str) -> Iterator[Plant]:
    """Start a worker with a broker and a SQLite ledger of its own, in a new folder, without pytest."""
    folder.mkdir()
    with ExitStack() as until_end:
        url, broker = f"sqlite:///{folder}/ledger.db", until_end.enter_context(running_valkey(folder))
        plant = until_end.enter_context(_plant(folder, broker, url, variables))
        upgrade(plant.engine)
        until_end.enter_context(running_worker(plant.variables, plant.worker_log))
        yield plant


@contextmanager
def _plant(folder: Path, broker: str, url: str, variables: Mapping[str, str]) -> Iterator[Plant]:
    with ExitStack() as until_end:
        simulator = until_end.enter_context(running_simulator(log=folder / "purchases.jsonl"))
        engine = until_end.enter_context(opened(url))
        client = until_end.enter_context(redis.Redis.from_url(broker))
        client.flushall()
        where = {
            "REDIS_URL": broker,
            "DATABASE_URL": url,
            "ANTHROPIC_BASE_URL": simulator.url,
            "STATE_DIR": str(folder),
        }
        environment = environment_of(where | dict(variables))
        producer = until_end.enter_context(Producer(settings_of(environment)))
        yield Plant(
            simulator=simulator,
            producer=producer,
            engine=engine,
            redis=client,
            variables=environment,
            worker_log=folder / "worker.log",
        )


def _database_url(request: pytest.FixtureRequest, folder: Path, until_end: ExitStack) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{shutil.copy(request.getfixturevalue('sqlite_template'), folder / 'ledger.db')}"
    server: Postgres = request.getfixturevalue("postgres")
    return until_end.enter_context(server.database(like=TEMPLATE))


@contextmanager
def one_test(plant: Plant) -> Iterator[Plant]:
    """Lend a plant to one test: without faults before it, without open jobs after it, its log shown if it fails."""
    plant.simulator.set_script("")
    forget_faults(plant.variables["REDIS_URL"])
    before = plant.worker_log.stat().st_size
    yield plant
    for batch in plant.batches:
        batch.cancel()
    plant.batches.clear()
    sys.stdout.write(plant.worker_log.read_bytes()[before:].decode(errors="replace"))


def forget_faults(redis_url: str) -> None:
    """Take from the fleet what earlier faults and limits have taught it."""
    with redis.Redis.from_url(redis_url) as client:
        for key in client.scan_iter(f"{admission_prefix('*')}*"):
            client.delete(key)


def environment_of(changes: Mapping[str, str]) -> dict[str, str]:
    """Make a process's environment: every setting as the tests want it, none from this machine or a .env."""
    unset = dict.fromkeys((name.upper() for name in Settings.model_fields), "")
    system = {name: os.environ[name] for name in _OF_THE_SYSTEM if name in os.environ}
    return system | unset | _USUAL | dict(changes)


def settings_of(environment: Mapping[str, str]) -> Settings:
    """Read the settings a process with this environment would have."""
    given = {name: environment[name.upper()] for name in Settings.model_fields}
    return load_settings(env_file=None, **given)


@contextmanager
def running_worker(environment: Mapping[str, str], log: Path, *, more: Sequence[str] = ()) -> Iterator[int]:
    """Run a worker until the end of the block, with `more` options of Celery's; yields its process id when ready."""
    with _process(worker_command(settings_of(environment), more), environment, log) as process:
        _until_ready(process, log, lambda: b" ready." in log.read_bytes())
        yield process.pid


@contextmanager
def running_flower(environment: Mapping[str, str], log: Path) -> Iterator[tuple[int, int]]:
    """Run Flower until the end of the block; yields its process id and its port."""
    port, settings = free_port(), settings_of(environment)
    variables = flower_variables(settings, environment["REDIS_URL"], FLOWER_PASSWORD)
    with _process(flower_command(port), {**environment, **variables}, log) as process:
        _until_ready(process, log, lambda: b"Connected to redis" in log.read_bytes())
        yield process.pid, port


@contextmanager
def running_server(environment: Mapping[str, str], log: Path, *more: str) -> Iterator[str]:
    """Run `stepdown serve` on a free port until the end of the block; yields its address."""
    command = [sys.executable, "-c", "from producer.cli import main; main()", "serve", "--port", "0", *more]
    with _process(command, environment, log) as process:
        _until_ready(process, log, lambda: b"serving http" in log.read_bytes())
        yield next(word for word in log.read_text(encoding="utf-8").split() if word.startswith("http://"))


@contextmanager
def _process(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with (
        log.open("ab") as words,
        warm_start.Popen(command, cwd=ROOT, env=dict(environment), stdout=words, stderr=words) as process,
    ):
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(_END_S)
            except subprocess.TimeoutExpired:
                process.kill()


def _until_ready(process: subprocess.Popen[bytes], log: Path, is_ready: Callable[[], bool]) -> None:
    def look() -> bool:
        return is_ready() or process.poll() is not None

    eventually(look, within_s=_START_S, because=f"it starts; its log is {log}")
    assert process.poll() is None, f"it ended with {process.returncode}:\n{log.read_text(encoding='utf-8')}"
