"""Half price against live: dollars, jobs moved to live, jobs in time, and the CPU of a job. Times pass faster."""

import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from models.job.task_kinds import JobTerms
from producer.simulator.process import running_simulator
from tests.benchmarks.figure import Figure
from tests.benchmarks.measured import Measured, cpu_s, measured
from tests.benchmarks.workers import stepdown_site
from tests.support.servers.valkey import running_valkey

_FASTER = 60
_DAY_S, _TWO_HOURS_S = 86_400 / _FASTER, 7_200 / _FASTER
_MEASURED, _OF_EACH = 24, 5  # small message batches by which the lane learns how long they take
_JOBS, _LIVE_JOBS, _IDLE_S = 10_000, 3_000, 10.0
_MOST_DOLLARS, _MOST_MOVED, _MOST_IN_TWO_HOURS, _MOST_CPU = 0.52, 0.02, 0.80, 0.4
_SCRIPT = f"[batches]\ntimes_faster = {_FASTER}\nfinishes = 0.1\n"
_HANGING = "[[batch_rules]]\ncall = 'create'\nshare = 0.2\nnever_ends = true\n"
# A live call needs a minute in truth; here all jobs of a message batch that hangs come at once, on one machine.
_TIMES = {"USUAL": 7_200 / _FASTER, "GRACE": 300 / _FASTER, "LIVE": 25, "POLL": 60 / _FASTER}
_DOLLARS = """
    SELECT sum(cost_nano_usd), sum(CASE WHEN answers.job_id IS NULL THEN 0
        WHEN attempts.message_batch_id IS NULL THEN cost_nano_usd ELSE 2 * cost_nano_usd END)
    FROM attempts LEFT JOIN answers ON answers.attempt_id = attempts.id
    WHERE attempts.batch_id = (SELECT id FROM batches ORDER BY created_at DESC LIMIT 1)
"""
_MOVED = """
    SELECT avg(attempts.message_batch_id IS NULL) FROM answers JOIN attempts ON attempts.id = answers.attempt_id
    WHERE attempts.batch_id = (SELECT id FROM batches ORDER BY created_at DESC LIMIT 1)
"""


def half_price(share: float) -> list[Figure]:
    """Measure a batch with a day's time, and one with two hours beside message batches that hang."""
    jobs = int(_JOBS * share)
    with TemporaryDirectory() as folder, running_simulator(script=_SCRIPT) as api, running_valkey(Path(folder)) as url:
        ledger = Path(folder, "ledger.db")
        more = {f"HALF_PRICE_{name}_S": f"{seconds:g}" for name, seconds in _TIMES.items()}
        with stepdown_site(
            *(url, api.url, Path(folder)), ledger=f"sqlite:///{ledger}", concurrency=1000, more=more
        ) as (pid, run):
            run(50)
            idle = _idle_share(pid)
            live = measured(pid, int(_LIVE_JOBS * share), lambda: run(int(_LIVE_JOBS * share)))
            day = JobTerms(half_price=True, deadline_s=_DAY_S)
            in_a_day = measured(pid, jobs, lambda: run(jobs, terms=day, within_s=_DAY_S))
            dollars, moved = _ratio(ledger), _asked(ledger, _MOVED)[0]
            _learn(run, day)
            api.set_script(_SCRIPT + _HANGING)
            run(jobs, terms=JobTerms(half_price=True, deadline_s=_TWO_HOURS_S))  # an error if a job is late
            hurried = _ratio(ledger)
    return [
        Figure(name=f"{jobs:,} with a day: dollars / live", value=dollars, target=_MOST_DOLLARS),
        Figure(name=f"{jobs:,} with a day: share moved to live", value=moved, target=_MOST_MOVED),
        Figure(
            name=f"{jobs:,} in two hours, one of five hangs: dollars / live", value=hurried, target=_MOST_IN_TWO_HOURS
        ),
        Figure(
            name="CPU a half-price job / a live job, beyond an idle worker",
            value=_busy_ms(in_a_day, idle) / _busy_ms(live, idle),
            target=_MOST_CPU,
        ),
    ]


def _idle_share(pid: int) -> float:
    """Measure the CPU of a worker that waits: message batches take an hour in truth, and nobody works meanwhile."""
    before = cpu_s(pid)
    time.sleep(_IDLE_S)
    return (cpu_s(pid) - before) / _IDLE_S


def _busy_ms(ran: Measured, idle: float) -> float:
    return ran.cpu_ms_per_job - ran.wall_s * idle / ran.jobs * 1000


def _learn(run: Callable[..., float], terms: JobTerms) -> None:
    """Run small message batches beside one another, each made by itself."""
    with ThreadPoolExecutor(_MEASURED) as threads:
        running = []
        for _ in range(_MEASURED):
            running.append(threads.submit(run, _OF_EACH, terms=terms, within_s=_DAY_S))
            time.sleep(2 * _TIMES["POLL"])
        for each in running:
            each.result()


def _ratio(ledger: Path) -> float:
    cost, as_live = _asked(ledger, _DOLLARS)
    return cost / as_live


def _asked(ledger: Path, statement: str) -> tuple[float, ...]:
    with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as connection:
        return tuple(connection.execute(statement).fetchone())
