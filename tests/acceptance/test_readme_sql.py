"""Each query of the README gives the same rows on SQLite and on Postgres, read as `stepdown ledger sql` reads them."""

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from models.accounting.adhoc_sql import run_query
from tests.support.ledgers.small_ledger import book
from tests.support.servers.fixtures import opened

_ROOT = Path(__file__).parents[2]
_QUERIES = re.findall(r'stepdown ledger sql "([^"]+)"', (_ROOT / "README.md").read_text(encoding="utf-8"))


def _rows(url: str, query: str) -> list[tuple[Any, ...]]:
    with opened(url) as engine:
        book(engine)
    with run_query(url, query, timeout_s=30) as found:
        return [tuple(_plain(value) for value in row) for row in found.rows]


def _plain(value: Any) -> Any:
    return f"{value:.9f}" if isinstance(value, Decimal | float) else value if isinstance(value, int) else str(value)


def test_there_are_queries_to_ask() -> None:
    assert len(_QUERIES) >= 3


@pytest.mark.parametrize("query", _QUERIES)
def test_both_engines_answer_alike(sqlite_url: str, postgres_url: str, query: str) -> None:
    rows = _rows(sqlite_url, query)
    assert rows
    assert rows == _rows(postgres_url, query)
