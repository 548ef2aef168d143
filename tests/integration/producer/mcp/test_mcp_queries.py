"""Heavy queries of one MCP client harm no other tool and not the server; a client that goes away ends its query."""

import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from models.accounting.adhoc_sql import AT_ONCE
from tests.support.eventually import eventually
from tests.support.peak_memory import resident_bytes
from tests.support.sites.command_line import Stranger, stranger_in
from tests.support.sites.mcp_client import Speaker, over_http, speaking

# ruff: noqa: S608 - the queries are a person's own

NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
HEAVY = [
    f"{NUMBERS} SELECT group_concat(hex(randomblob(500000))) FROM n",
    f"{NUMBERS} SELECT COUNT(*) FROM n",
    "SELECT instr(hex(zeroblob(4000000)), substr(hex(zeroblob(4000000)), 1, 4000000) || 'y')",
    f"{NUMBERS} SELECT i, randomblob(100000) AS b FROM n ORDER BY b",
]


@pytest.fixture
def me(tmp_path: Path, sqlite_url: str) -> Stranger:
    """Run a server over a ledger of nothing, with places for queries of its own."""
    return stranger_in(tmp_path, DATABASE_URL=sqlite_url, TMPDIR=str(tmp_path))


@pytest.fixture
def address(me: Stranger) -> Iterator[str]:
    """Run it over HTTP."""
    with over_http(me) as address:
        yield address


@pytest.fixture
def model(address: str) -> Iterator[Speaker]:
    """Speak to it."""
    with speaking(address) as speaker:
        yield speaker


@pytest.fixture
def server(address: str) -> psutil.Process:
    """Find its process, by the port."""
    port = urlsplit(address).port
    children = psutil.Process().children()
    (found,) = [one for one in children if port in [there.laddr.port for there in one.net_connections()]]
    return found


def test_sixteen_heavy_queries_harm_nobody(model: Speaker, server: psutil.Process) -> None:
    asking = [
        model.portal.start_task_soon(model.client.call_tool, "ledger_query", {"sql": HEAVY[number % len(HEAVY)]})
        for number in range(16)
    ]
    eventually(lambda: len(server.children()) >= AT_ONCE, within_s=60, because="they have begun")
    sizes, waits = [], []
    while not all(one.done() for one in asking):
        begun = time.monotonic()
        assert "no batch" in model.refused("status", batch="none")
        waits.append(time.monotonic() - begun)
        sizes.append(sum(resident_bytes(one) for one in [server, *server.children()]) / 1e6)
    assert all(one.result().is_error for one in asking)
    assert max(sizes) < 1_000
    assert max(waits) < 10  # with all threads taken it was as long as all of them
    assert model.states("ledger_query", sql="SELECT 1 AS one")["rows"] == [[1]]


def test_a_client_that_goes_away_ends_its_query(model: Speaker, server: psutil.Process) -> None:
    asking = model.portal.start_task_soon(model.client.call_tool, "ledger_query", {"sql": HEAVY[2]})
    eventually(server.children, within_s=60, because="it has begun")
    begun = time.monotonic()
    asking.cancel()
    eventually(lambda: not server.children(), within_s=9, because="it ends before its own limit")
    assert time.monotonic() - begun < 9
