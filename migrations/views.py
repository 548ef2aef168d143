"""The views: answers to the questions that people ask the ledger, the same on SQLite and Postgres.

Each view is one text in `views/`, for both engines. Words in capitals before a bracket are the macros below. All other
words mean the same to both engines. A migration that changes a column drops the views first, and makes them again.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from sqlalchemy import Connection

_TEXTS = Path(__file__).with_name("views")
# A view stands behind the views that it reads. v_days and v_spending are steps of others.
VIEWS = (
    *("v_days", "v_attempts", "v_jobs", "v_batches", "v_cost_daily", "v_credits_monthly", "v_fallback_histogram"),
    *("v_primary_health", "v_errors", "v_latency", "v_wasted", "v_unpriced", "v_truncated", "v_budgets", "v_spending"),
    *("v_focus", "v_cache", "v_decisions", "v_starts", "v_story", "v_call_tree", "v_documents"),
    *("v_half_price", "v_batch_latency"),
)
# Money is whole nano-dollars. The sum of no costs is 0; unknown costs are counted beside a sum.
_SHORT = {
    "WHOLE": "CAST(COALESCE({0}, 0) AS BIGINT)",
    "JOBS": "(SELECT COUNT(*) FROM jobs AS j WHERE j.batch_id = b.id AND {0})",
    "STARTED_AT": "COALESCE({0}.start_model, (SELECT first.requested_model FROM attempts AS first"
    " WHERE first.job_id = {0}.id ORDER BY first.attempt_no LIMIT 1))",
    "RATIO": "ROUND(1.0 * {0} / {1}, 4)",
    # Heron's rule from above, since SQLite may lack SQRT. The result is never too small.
    "ROOT": "(WITH RECURSIVE heron(root, step) AS (SELECT CAST(1 + {0} AS DOUBLE PRECISION), 0"
    " UNION ALL SELECT (root + {0} / root) / 2, step + 1 FROM heron WHERE step < 40)"
    " SELECT root FROM heron WHERE step = 40)",
    "THRESHOLD": "(SELECT value FROM thresholds WHERE name = '{0}')",
    "BELOW": "RECURSIVE below(id) AS (SELECT {0}.id"
    " UNION ALL SELECT lower.id FROM below INNER JOIN jobs AS lower ON lower.parent = below.id)",
}
# Days are 'YYYY-MM-DD' on SQLite, since times there are UTC text. Days are dates on Postgres.
_SQLITE = {
    "EACH_DAY": "v_days AS d CROSS JOIN {0} AS {2}",  # in this order: d is the outer loop
    "WITHIN_DAY": "{0} >= d.since AND {0} < d.until",
    # SQLite looks up each figure for the shown rows only.
    "ATTEMPTS": "(SELECT COUNT(*) FROM attempts AS a WHERE {0})",
    "UNKNOWN": "(SELECT COUNT(*) FROM v_attempts AS a WHERE {0} AND a.cost_nano_usd IS NULL)",
    "SPENT": "(SELECT WHOLE(SUM(a.cost_nano_usd)) FROM v_attempts AS a WHERE {0})",
    "WITH_SPENT": "",
    "IS_SUCCEEDED": "COALESCE({0}.state, '') = 'succeeded'",  # else SQLite builds an index of all states for the query
    "DAY": "SUBSTR({0}, 1, 10)",
    "START": "{0}",  # a day sorts before all of its times
    "NEXT_DAY": "DATE({0}, '+1 day')",
    "SECONDS": "ROUND((JULIANDAY({1}) - JULIANDAY({0})) * 86400, 1)",
    "DAYS_AGO": "STRFTIME('%Y-%m-%d %H:%M:%f000', 'now', '-{0} days')",
    "MONTH": "SUBSTR({0}, 1, 7)",
    "MONTH_OF": "DATE({0}, 'start of month')",
    "MONTH_AFTER": "DATE({0}, 'start of month', '+1 month')",
    "MIDNIGHT": "({0} || 'T00:00:00Z')",
    "USD": "({0} / 1000000000.0)",
    "CREDITS": "({0} / 10000000.0)",
    "QUOTIENT": "(1.0 * {0} / {1})",
    "UNIT_USD": "(1.0 * {0} / {1} / 1000000000.0)",
    "GIVEN_UP": "JSON_EACH({0}.given_up) AS g",  # a row for each rung: key is the rung, value the reason
    "TAGS": "JSON_PATCH('{{}}', JSON_OBJECT('task', {0}, 'batch', {1}, 'batch_id', {2}))",  # a patch drops NULL values
}
# Products of numerics are exact, quotients are rounded.
_POSTGRES = {
    # OFFSET 0 forces a loop over the days, each a range in the index of that time. Postgres takes few days for more.
    "EACH_DAY": "v_days AS d CROSS JOIN LATERAL (SELECT * FROM {0} AS each"
    " WHERE each.{1} >= d.since AND each.{1} < d.until OFFSET 0) AS {2}",
    "WITHIN_DAY": "TRUE",
    # One lookup for a row: to plan the same lookup four times takes longer than to run it.
    "ATTEMPTS": "spent.attempts",
    "UNKNOWN": "spent.unknown_costs",
    "SPENT": "spent.cost_nano_usd",
    "WITH_SPENT": "LEFT JOIN LATERAL (SELECT COUNT(*) AS attempts, COUNT(*) - COUNT(a.cost_nano_usd) AS unknown_costs,"
    " WHOLE(SUM(a.cost_nano_usd)) AS cost_nano_usd FROM v_attempts AS a WHERE {0}) AS spent ON TRUE",
    "IS_SUCCEEDED": "{0}.state = 'succeeded'",
    "DAY": "({0} AT TIME ZONE 'UTC')::date",
    "START": "({0}::timestamp AT TIME ZONE 'UTC')",
    "NEXT_DAY": "({0} + 1)",
    "SECONDS": "ROUND(EXTRACT(EPOCH FROM {1} - {0})::numeric, 1)",
    "DAYS_AGO": "(NOW() - INTERVAL '{0} days')",
    "MONTH": "TO_CHAR({0}, 'YYYY-MM')",
    "MONTH_OF": "DATE_TRUNC('month', {0}::timestamp)::date",
    "MONTH_AFTER": "(DATE_TRUNC('month', {0}::timestamp) + INTERVAL '1 month')::date",
    "MIDNIGHT": "TO_CHAR({0}, 'YYYY-MM-DD\"T00:00:00Z\"')",
    "USD": "({0} * 0.000000001)",
    "CREDITS": "({0} * 0.0000001)",
    "QUOTIENT": "TRIM_SCALE({0}::numeric / {1})",
    "UNIT_USD": "TRIM_SCALE(({0})::numeric / {1} * 0.000000001)",
    "GIVEN_UP": "JSONB_EACH_TEXT({0}.given_up::jsonb) AS g",
    "TAGS": "JSONB_STRIP_NULLS(JSONB_BUILD_OBJECT('task', {0}, 'batch', {1}, 'batch_id', {2}))::text",
}
_CALL = re.compile(rf"\b({'|'.join([*_SHORT, *_SQLITE])})\(")


def create_views(connection: Connection) -> None:
    """Make every view."""
    texts = {path.stem: path.read_text(encoding="utf-8") for path in _TEXTS.rglob("*.sql")}
    macros = _SHORT | (_POSTGRES if connection.dialect.name == "postgresql" else _SQLITE)
    for name in VIEWS:
        connection.exec_driver_sql(f"CREATE VIEW {name} AS\n{expanded(texts[name], macros)}")


def drop_views(connection: Connection) -> None:
    """Drop every view."""
    for name in reversed(VIEWS):
        connection.exec_driver_sql(f"DROP VIEW {name}")


def expanded(text: str, macros: Mapping[str, str]) -> str:
    """Return a text with its macros written out, also macros inside arguments and inside other macros.

    >>> expanded("SELECT USD(SUM(cost))", {"USD": "({0} / 1e9)"})
    'SELECT (SUM(cost) / 1e9)'
    """
    call = _CALL.search(text)
    if call is None:
        return text
    arguments, end = _arguments(text, call.end())
    written = macros[call[1]].format(*arguments)
    return text[: call.start()] + expanded(written + text[end:], macros)


def _arguments(text: str, start: int) -> tuple[list[str], int]:
    """Split the text after an opening bracket at its own commas. Returns the place of the closing bracket, too."""
    found, depth, begin = list[str](), 1, start
    for place in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[place], 0)
        if depth == 0 or (depth == 1 and text[place] == ","):
            found.append(text[begin:place].strip())
            begin = place + 1
        if depth == 0:
            return found, place + 1
    raise ValueError(f"a bracket is not closed: {text[start : start + 40]}")
