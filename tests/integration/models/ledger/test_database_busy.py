"""A database that has no connection left is away, too."""

import pytest
from sqlalchemy import Engine

from models.errors import LedgerError
from models.ledger.job_actions import JobActions
from models.ledger.ledger import Ledger
from models.reports.jobs import Reports


def test_waiting_too_long_for_a_connection_is_a_ledger_that_cannot_be_reached(engine: Engine) -> None:
    engine.pool._timeout = 0.05  # type: ignore[attr-defined] # noqa: SLF001 - a minute is too long for a test
    taken = [engine.connect() for _ in range(8)]
    try:
        with pytest.raises(LedgerError, match="limit"):
            Ledger(engine, worker="here").claim("any", lease_s=1)
        with pytest.raises(LedgerError, match="limit"):
            JobActions(engine).cancel("any")
        with pytest.raises(LedgerError, match="limit"):
            Reports(engine).batches(limit=1)
    finally:
        for connection in taken:
            connection.close()
