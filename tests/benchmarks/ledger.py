"""`make bench-ledger`: what questions about cost take in a ledger of a year, on Postgres and on SQLite.

Each is asked several times; the table shows the middle one, in ms, from the question to its last row.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import Engine, text

from migrations.run import upgrade
from models.accounting.daily_rollup import Rollup
from models.schema.daily_cost import MARK_STALE
from tests.benchmarks.made_ledger import JOBS_A_BATCH, batch_id, fill, job_id
from tests.support.servers.fixtures import opened
from tests.support.servers.postgres import running_postgres

# ruff: noqa: S608 - all that is written into these questions is in this file

_TIMES = 9
_BY_MODEL_BY_DAY = (
    "SELECT day, model, SUM(cost_nano_usd), SUM(unknown_costs) FROM {source} GROUP BY day, model ORDER BY 1, 2"
)
_FROM_ATTEMPTS = """(
    SELECT d.day, a.model, a.cost_nano_usd, CASE WHEN a.cost_nano_usd IS NULL THEN 1 ELSE 0 END AS unknown_costs
    FROM v_days AS d CROSS JOIN v_attempts AS a WHERE a.opened_at >= d.since AND a.opened_at < d.until) AS attempts"""
_TARGETS_MS = {"cost by model by day": 50, "one batch": 5, "one job": 5}


def main() -> None:
    """Make a ledger on each engine, ask, and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.ledger", description="Questions about cost.")
    parser.add_argument("--rows", type=int, default=10_000_000, help="attempts on Postgres; SQLite gets a tenth")
    parser.add_argument("--engine", choices=["postgres", "sqlite"], help="only this one")
    given = parser.parse_args()
    if given.engine != "postgres":
        with TemporaryDirectory() as folder, opened(f"sqlite:///{Path(folder, 'ledger.db')}") as engine:
            _measure(engine, given.rows // 10)
    if given.engine != "sqlite":
        with running_postgres() as server, server.database() as url, opened(url) as engine:
            _measure(engine, given.rows)


def _measure(engine: Engine, rows: int) -> None:
    upgrade(engine)
    began = time.monotonic()
    fill(engine, rows)
    _print_line(f"{engine.dialect.name}: {rows:,} attempts made in {time.monotonic() - began:.0f} s")
    live_ms = _middle(_asked(engine, _BY_MODEL_BY_DAY.format(source=_FROM_ATTEMPTS)), times=1)
    began = time.monotonic()
    days = Rollup(engine).roll()
    _print_line(f"  {'rollup of the whole year':<44}{time.monotonic() - began:>10.1f} s for {len(days)} days")
    _check_equal(engine)
    for question, ask in _questions(engine, rows, days[len(days) // 2]).items():
        took_ms = _middle(ask, times=_TIMES)
        target = next((f"target {ms} ms" for name, ms in _TARGETS_MS.items() if question.startswith(name)), "")
        _print_line(f"  {question:<44}{took_ms:>10.2f} ms  {target}")
    _mark_stale(engine, days[-1])
    whole_day_ms = _middle(_asked(engine, _BY_MODEL_BY_DAY.format(source="v_cost_daily")), times=_TIMES)
    most_ms = _TARGETS_MS["cost by model by day"]
    _print_line(f"  {'the same late at night, a whole day not rolled':<44}{whole_day_ms:>8.2f} ms  target {most_ms} ms")
    _print_line(f"  {'the same from attempts alone':<44}{live_ms:>10.0f} ms")


def _questions(engine: Engine, rows: int, day: date) -> Mapping[str, Callable[[], object]]:
    job = rows * 4 // 5 // 2
    return {
        "cost by model by day, all time": _asked(engine, _BY_MODEL_BY_DAY.format(source="v_cost_daily")),
        "cost by month, all time": _asked(engine, "SELECT * FROM v_credits_monthly"),
        f"one batch ({JOBS_A_BATCH} jobs)": _asked(
            engine, "SELECT * FROM v_batches WHERE batch_id = :it", it=batch_id(job // JOBS_A_BATCH)
        ),
        "one job": _asked(engine, "SELECT * FROM v_jobs WHERE job_id = :it", it=job_id(job)),
        "one day's primary health": _asked(engine, "SELECT * FROM v_primary_health WHERE day = :it", it=day),
        "one day's errors": _asked(engine, "SELECT * FROM v_errors WHERE day = :it", it=day),
        "one day's latency": _asked(engine, "SELECT * FROM v_latency WHERE day = :it", it=day),
        "one day rolled up again": _rolled_again(engine, day),
    }


def _rolled_again(engine: Engine, day: date) -> Callable[[], object]:
    def again() -> object:
        _mark_stale(engine, day)
        return Rollup(engine).roll()

    return again


def _mark_stale(engine: Engine, day: date) -> None:
    with engine.begin() as connection:
        connection.execute(MARK_STALE, {"of_day": day})


def _asked(engine: Engine, question: str, **given: Any) -> Callable[[], object]:
    given = {name: str(it) if engine.dialect.name == "sqlite" else it for name, it in given.items()}

    def ask() -> object:
        with engine.connect() as connection:
            return connection.execute(text(question), given).all()

    return ask


def _middle(ask: Callable[[], object], *, times: int) -> float:
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        if not ask():
            raise RuntimeError("nothing was found")
        taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken)


def _check_equal(engine: Engine) -> None:
    by_rollup, by_attempts = (
        _asked(engine, f"SELECT SUM(cost_nano_usd), SUM(unknown_costs) FROM {source}")()
        for source in ("v_cost_daily", _FROM_ATTEMPTS)
    )
    if by_rollup != by_attempts:
        message = f"the rollup says {by_rollup}, the attempts say {by_attempts}"
        raise RuntimeError(message)


def _print_line(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
