"""Fills a ledger with a year of attempts, by the database itself: ten million rows are never in Python."""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Engine

# ruff: noqa: S608 - all that is written into these statements is in this file

JOBS_A_BATCH = 1000
DAYS = 365
_MODELS = (
    "CASE WHEN i % 10 < 6 THEN 'claude-opus-4-7' WHEN i % 10 < 9 THEN 'claude-sonnet-4-6' ELSE 'claude-haiku-4-5' END"
)
_TASKS = "CASE i % 5 WHEN 0 THEN 'summarize' WHEN 1 THEN 'synthesize' WHEN 2 THEN 'translate' WHEN 3 THEN 'label' END"


def fill(engine: Engine, attempts: int, *, jobs_a_batch: int = JOBS_A_BATCH) -> None:
    """Make so many attempts over the year up to now: of five, one is the second of its job; one in 200 is unknown.

    One in a hundred has been corrected. Prompts are short, and there are no answers: no measured question reads them.
    """
    is_postgres = engine.dialect.name == "postgresql"
    with engine.connect() as connection:
        if is_postgres:
            connection.exec_driver_sql("SET session_replication_role = replica")  # ids that match need no check
            connection.exec_driver_sql("SET max_parallel_workers_per_gather = 0")
        else:
            connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
        for statement in _statements(_Words(is_postgres=is_postgres, jobs=attempts * 4 // 5), jobs_a_batch):
            connection.exec_driver_sql(statement.replace("%", "%%") if is_postgres else statement)
            connection.commit()
    if is_postgres:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM ANALYZE")


def batch_id(number: int) -> str:
    """Name one of the batches, from 0."""
    return f"0199b000-0000-7000-8000-{number:012x}"


def job_id(number: int) -> str:
    """Name one of the jobs, from 0."""
    return f"0199a000-0000-7000-8000-{number:012x}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Words:
    """What the engines say differently."""

    is_postgres: bool
    jobs: int

    def numbers(self, count: int) -> str:
        """List i from 0 to below `count`."""
        if self.is_postgres:
            return f"generate_series(0, {count} - 1) AS i"
        return (
            f"(WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {count} - 1) SELECT i FROM n)"
        )

    def named(self, kind: str, i: str) -> str:
        """Write an id that sorts by i."""
        if self.is_postgres:
            return f"'0199{kind}000-0000-7000-8000-' || lpad(to_hex({i}), 12, '0')"
        return f"printf('0199{kind}000-0000-7000-8000-%012x', {i})"

    def at(self, i: str, more_s: int = 0) -> str:
        """Spread the jobs over the year up to now."""
        seconds = DAYS * 86_400 / self.jobs
        if self.is_postgres:
            return f"(now() - interval '{DAYS} days' + ({i} * {seconds} + {more_s}) * interval '1 second')"
        return f"strftime('%Y-%m-%d %H:%M:%f000', julianday('now') - {DAYS} + ({i} * {seconds} + {more_s}) / 86400.0)"


def _statements(words: _Words, jobs_a_batch: int) -> Iterator[str]:
    named, at, numbers, jobs = words.named, words.at, words.numbers, words.jobs
    batch = f"CAST(i / {jobs_a_batch} AS INTEGER)"
    yield f"""
        INSERT INTO batches (id, tags, job_count, created_at)
        SELECT {named("b", "i")}, '{{}}', {jobs_a_batch}, {at(f"i * {jobs_a_batch}")}
        FROM {numbers(-(-jobs // JOBS_A_BATCH))}"""
    yield f"""
        INSERT INTO jobs (id, batch_id, seq, prompt_id, task, params, columns, start_model, start_rung, floor_rung,
            ceiling_rung, state, outcome, rung, given_up, rounds, lease_token, deliveries, deadline_at, created_at,
            sent_at, finished_at, model_used, fallback_depth)
        SELECT {named("a", "i")}, {named("b", batch)}, i % {jobs_a_batch} + 1, 'doc-' || i, {_TASKS},
            '{{"max_tokens":300,"messages":[{{"role":"user","content":"Summarize: bridges were closed."}}]}}',
            '{{}}', 'claude-opus-4-7', 0, 2, 0, 'succeeded', 'answered', 0, '{{}}', 0, 1, 1, {at("i", 86_400)},
            {at("i")}, {at("i")}, {at("i", 20)}, {_MODELS}, CASE WHEN i % 4 = 0 THEN 1 ELSE 0 END
        FROM {numbers(jobs)}"""
    yield _attempts(
        f"SELECT i, 1 AS number FROM {numbers(jobs)} UNION ALL SELECT i * 4, 2 FROM {numbers(jobs // 4)} ORDER BY 1",
        ids=(named("c", "i * 2 + number"), named("a", "i"), named("b", batch)),
        times=(at("i", 2), at("i", 12)),
    )
    yield f"""
        INSERT INTO corrections (id, attempt_id, number, made_at, was_nano_usd, cost_nano_usd, price_source)
        SELECT {named("d", "i")}, {named("c", "i * 100 + 1")}, 1, {at("i * 50", 86_400)}, NULL, 4200000, 'by hand'
        FROM {numbers(jobs // 50)}"""


def _attempts(numbers: str, *, ids: tuple[str, str, str], times: tuple[str, str]) -> str:
    is_unknown = "(i % 200 = 199)"
    cost = "1000000 + i % 1000 * 5000"
    return f"""
        INSERT INTO attempts (id, job_id, batch_id, attempt_no, task, rung, fallback_depth, reason, endpoint,
            requested_model, served_model, outcome, http_status, message_id, request_id, opened_at, closed_at,
            latency_ms, input_tokens, cache_read_tokens, cache_write_5m_tokens, cache_write_1h_tokens, output_tokens,
            web_searches, service_tier, cost_nano_usd, input_nano_usd, cache_read_nano_usd, cache_write_5m_nano_usd,
            cache_write_1h_nano_usd,
            output_nano_usd, web_search_nano_usd, cost_status, price_source, worker, lease_token)
        SELECT {ids[0]}, {ids[1]}, {ids[2]}, number, {_TASKS}, number - 1, number - 1, 'start', 'anthropic',
            {_MODELS}, {_MODELS},
            CASE WHEN {is_unknown} THEN 'timed_out' ELSE 'answered' END, 200, 'msg_' || i, 'req_' || i, {times[0]},
            {times[1]}, 1000 + i % 9000, 1000, 0, 0, 0, i % 1000, 0, 'standard',
            CASE WHEN NOT {is_unknown} THEN {cost} END, CASE WHEN NOT {is_unknown} THEN 1000000 END, 0, 0, 0,
            CASE WHEN NOT {is_unknown} THEN i % 1000 * 5000 END, 0,
            CASE WHEN {is_unknown} THEN 'unknown' ELSE 'exact' END, 'genai-prices 0.2.3', 'bench', 1
        FROM ({numbers}) AS numbers"""
