"""The cost of a job in Postgres: statements, commits, log bytes and updates in place. The time of a look at a batch."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import psycopg

from migrations.run import upgrade
from models.ledger.batch_counts import begin
from models.store import Store
from producer.simulator.process import running_simulator
from tests.benchmarks.figure import Figure
from tests.benchmarks.made_ledger import batch_id, fill
from tests.benchmarks.workers import stepdown_site
from tests.support.servers.fixtures import opened
from tests.support.servers.postgres import OWNER, running_postgres
from tests.support.servers.valkey import running_valkey

# Each statement is a line of the log: pg_stat_statements misses a prepared SAVEPOINT.
_COUNT_STATEMENTS = {
    "log_statement": "all",
    "log_line_prefix": "%u ",
    "log_parameter_max_length": "0",
    "log_destination": "stderr",
}
_WARM_UP = 100
_JOBS, _ALONE, _FLEET_JOBS = 2_000, 200, 3_000
_CONCURRENCY = 64
_LATENCY_S = 0.2
_MOST_STATEMENTS, _MOST_WAL_KB, _LEAST_IN_PLACE = 10, 8, 0.9
_MOST_COMMITS = {_CONCURRENCY: 3, 1: 4}  # alone: the message, the claim, the opening and the end
_INDEXED_A_JOB = 2  # its message, which takes the job from the index of unsent jobs; and its end
_LARGE, _LOOKS, _MOST_LOOK_MS = 330_000, 9, 10
_STATEMENT = re.compile(rf"^{OWNER} LOG:  (?:statement|execute [^:]*):\s+\w", re.MULTILINE)
_COUNTS = """
    SELECT pg_current_xact_id()::text::bigint, pg_current_wal_insert_lsn() - '0/0',
        (SELECT SUM(n_tup_upd) FROM pg_stat_user_tables), (SELECT SUM(n_tup_hot_upd) FROM pg_stat_user_tables)
"""


def postgres(share: float) -> list[Figure]:
    """Measure jobs under load and one at a time, three workers together, and a look at a batch of 330,000 jobs."""
    return [
        *_jobs(f"{_CONCURRENCY} in flight", jobs=int(_JOBS * share), concurrency=_CONCURRENCY),
        *_jobs("one at a time", jobs=int(_ALONE * share) + 10, concurrency=1),
        _fleet(int(_FLEET_JOBS * share)),
        _look(int(_LARGE * share)),
    ]


def _jobs(name: str, *, jobs: int, concurrency: int) -> list[Figure]:
    with _site(concurrency=concurrency, latency_s=_LATENCY_S if concurrency > 1 else 0.0) as (run, counts):
        run(_WARM_UP)
        before = counts()
        run(jobs)
        statements, commits, wal, updates, in_place = (
            float(after - first) for after, first in zip(counts(), before, strict=True)
        )
    return [
        Figure(name=f"Postgres, {name}: statements a job", value=statements / jobs, target=_MOST_STATEMENTS),
        Figure(name=f"Postgres, {name}: commits a job", value=commits / jobs, target=_MOST_COMMITS[concurrency]),
        Figure(name=f"Postgres, {name}: kB of log a job", value=wal / jobs / 1000, target=_MOST_WAL_KB),
        Figure(
            name=f"Postgres, {name}: share in place of updates of a lease, a claim or a call's end",
            value=in_place / (updates - _INDEXED_A_JOB * jobs),
            target=_LEAST_IN_PLACE,
            is_least=True,
        ),
    ]


def _fleet(jobs: int) -> Figure:
    with _site(concurrency=_CONCURRENCY, latency_s=_LATENCY_S, workers=3) as (run, _):
        run(_WARM_UP)
        rate = jobs / run(jobs)
    return Figure(name="Postgres, 3 workers of 64: jobs a second", value=rate, target=113, is_least=True)


@contextmanager
def _site(*, concurrency: int, latency_s: float, workers: int = 1) -> Iterator[Any]:
    with (
        TemporaryDirectory() as folder,
        running_simulator(latency_s=latency_s) as api,
        running_valkey(Path(folder)) as redis_url,
        running_postgres(**_COUNT_STATEMENTS) as server,
        server.database() as ledger,
        psycopg.connect(server.as_superuser(ledger), autocommit=True) as watching,
    ):
        with opened(ledger) as engine:
            upgrade(engine)

        def counts() -> Any:
            time.sleep(1.5)  # a session reports its counts once a second
            statements = len(_STATEMENT.findall(server.log.read_text(encoding="utf-8")))
            return statements, *(watching.execute(_COUNTS).fetchone() or ())

        with stepdown_site(
            redis_url,
            api.url,
            Path(folder),
            ledger=ledger,
            reader=server.as_superuser(ledger),
            concurrency=concurrency,
            workers=workers,
        ) as (_, run):
            yield run, counts


def _look(jobs: int) -> Figure:
    with running_postgres() as server, server.database() as url, opened(url) as engine:
        upgrade(engine)
        fill(engine, jobs * 5 // 4, jobs_a_batch=jobs)
        with engine.begin() as connection:
            begin(connection, batch_id(0), has_ended=True)
        store, taken = Store(engine, worker="bench"), []
        for _ in range(_LOOKS):
            began = time.perf_counter()
            store.reports.progress(batch_id(0))
            taken.append((time.perf_counter() - began) * 1000)
    return Figure(name=f"Postgres, a look at a batch of {jobs:,}, ms", value=median(taken), target=_MOST_LOOK_MS)
