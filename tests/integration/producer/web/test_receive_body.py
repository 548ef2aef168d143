"""Bodies that arrive over a real socket: slow ones end, nobody takes the room of another, bombs are refused by name."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from socket import create_server
from typing import Any

import httpx2
import pytest
import uvicorn

from models.errors import LedgerError
from models.settings import Settings, load_settings
from producer.client import Producer
from producer.web.app import app_over
from producer.web.http.limits import Slots
from producer.web.http.receive_body import BodyLimits, Pace
from tests.support.sites.app_client import asked, visiting

_GREEDY, _OTHER = "token-of-the-greedy-1", "token-of-the-other-01"
_BATCHES = "/v1/messages/batches"
_ROUTES = ("/v1/messages", _BATCHES, "/v1/messages/count_tokens", "/api/v1/batches")
_ONE = {"requests": [{"custom_id": "a", "params": asked()}]}


@pytest.fixture
def settings(sqlite_url: str, tmp_path: Path) -> Settings:
    """Make settings with two callers."""
    path = tmp_path / "callers.toml"
    path.write_text(f'[greedy]\ntoken = "{_GREEDY}"\n[other]\ntoken = "{_OTHER}"\n', encoding="utf-8")
    return load_settings(env_file=None, database_url=sqlite_url, state_dir=tmp_path, callers_file=path)


@pytest.fixture
def producer(settings: Settings) -> Iterator[Producer]:
    """Open a producer."""
    with Producer(settings) as producer:
        yield producer


@asynccontextmanager
async def _serving(producer: Producer, settings: Settings, body_limits: BodyLimits) -> AsyncIterator[int]:
    app = app_over(producer, settings, body_limits=body_limits)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="on", ws="none", http="h11"))
    with create_server(("127.0.0.1", 0), backlog=1024) as listener:
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            await serving


async def _slowly(port: int, *parts: bytes, every_s: float = 0.0, length: int = 1_000_000) -> tuple[int, Any, str]:
    """Begin a body and never end it. Returns the status, the body and the head of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST {_BATCHES} HTTP/1.1\r\nhost: x\r\nx-api-key: {_GREEDY}\r\ncontent-length: {length}\r\n\r\n"
    writer.write(head.encode())
    answer = asyncio.create_task(_answer(reader))
    for part in parts:
        writer.write(part)
        await asyncio.wait({answer}, timeout=every_s)
        if answer.done():
            break
    async with asyncio.timeout(60):
        head, body = await answer
    writer.close()
    return int(head.split()[1]), json.loads(body), head.lower()


async def _answer(reader: asyncio.StreamReader) -> tuple[str, bytes]:
    """Read one answer: what is sent after the server has hung up may reset the connection behind the answer."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    length = next(line for line in head.lower().splitlines() if line.startswith("content-length: "))
    return head, await reader.readexactly(int(length.partition(": ")[2]))


def _body_limits(*, patience_s: float = 0.2, **pace: Any) -> BodyLimits:
    lanes = Slots(what="large or slow bodies", per_caller=8, in_all=64, patience_s=patience_s)
    return BodyLimits(pace=Pace(**pace), arriving=lanes)


def test_a_body_that_stops_is_ended_with_408(producer: Producer, settings: Settings) -> None:
    async def visit() -> tuple[int, Any, str]:
        async with _serving(producer, settings, _body_limits(silent_s=0.5)) as port:
            return await _slowly(port, b'{"requests": [')

    status, body, head = asyncio.run(visit())
    assert (status, body["type"], body["error"]["type"]) == (408, "error", "timeout_error")
    assert "14 bytes of the body came within" in body["error"]["message"]
    assert "connection: close" in head


def test_a_body_that_drips_is_ended_with_408(producer: Producer, settings: Settings) -> None:
    async def visit() -> tuple[int, Any, str]:
        async with _serving(producer, settings, _body_limits(grace_s=1.0, slowest=1000)) as port:
            return await _slowly(port, *[b" "] * 600, every_s=0.1)

    status, body, _ = asyncio.run(visit())
    assert (status, "send at least 1,000 bytes a second" in body["error"]["message"]) == (408, True)


def test_slow_bodies_of_one_caller_keep_no_other_waiting(producer: Producer, settings: Settings) -> None:
    async def visit() -> tuple[list[tuple[int, Any, str]], list[int]]:
        async with _serving(producer, settings, _body_limits(silent_s=3.0)) as port:
            slow = [asyncio.create_task(_slowly(port, b"{")) for _ in range(300)]
            await asyncio.sleep(0)
            headers = {"x-api-key": _OTHER}
            async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=30) as client:
                statuses = [(await client.post(_BATCHES, json=_ONE)).status_code for _ in range(10)]
                assert not any(one.done() and one.result()[0] == 200 for one in slow)
            return await asyncio.gather(*slow), statuses

    slow, statuses = asyncio.run(visit())
    assert statuses == [200] * 10
    counts = {status: sum(one[0] == status for one in slow) for status, _, _ in slow}
    assert set(counts) == {408, 429}
    assert counts[408] <= 16
    refused = next(one for one in slow if one[0] == 429)
    assert refused[1]["error"]["type"] == "rate_limit_error"
    assert "8 large or slow bodies of yours are in hand already" in refused[1]["error"]["message"]
    assert "retry-after: 5" in refused[2]


def test_many_quick_bodies_of_one_caller_are_all_taken(producer: Producer, settings: Settings) -> None:
    async def visit() -> list[int]:
        async with (
            _serving(producer, settings, _body_limits()) as port,
            httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers={"x-api-key": _GREEDY}, timeout=60) as one,
        ):
            sent = await asyncio.gather(*(one.post(_BATCHES, json=_ONE) for _ in range(60)))
            return [response.status_code for response in sent]

    assert asyncio.run(visit()) == [200] * 60


@pytest.mark.parametrize("route", _ROUTES)
@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{" * 300_000, 400),
        (b'{"requests": [' + b"{}," * 600_000, 400),
        (b'{"messages": [' + b"{}," * 600_000 + b"{}]}", 400),
        (b'{"prompts": [[' + b"{}," * 600_000 + b"{}]]}", 400),
        (b'{"model": "claude-opus-4-7", "model": "claude-haiku-4-5-20251001"}', 400),
        (b'{"messages": "\xff"}', 400),
        (b'{"prompts": [' + b'"\xff"]}', 400),
        (b'{"max_tokens": NaN}', 400),
        (b"", 400),
    ],
)
def test_a_bomb_is_refused_as_the_provider_would(
    producer: Producer, settings: Settings, route: str, body: bytes, status: int
) -> None:
    async def visit() -> httpx2.Response:
        async with visiting(producer, settings, headers={"x-api-key": _GREEDY}) as client:
            return await client.post(route, content=body)

    refused = asyncio.run(visit())
    response = refused.json()
    assert (refused.status_code, response["type"], response["error"]["type"]) == (
        status,
        "error",
        "invalid_request_error",
    )
    assert response["error"]["message"]
    assert [*producer.store.reports.batches(limit=1)] == []


def test_a_large_prompt_that_the_ledger_has_not_yet_keeps_its_callers_next_waiting(
    producer: Producer, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, is_held, may_go = list[object](), asyncio.Event(), asyncio.Event()

    async def wait_for_the_ledger(ready: object) -> None:
        held.append(ready)
        is_held.set()
        await may_go.wait()
        raise LedgerError("the ledger is away")

    monkeypatch.setattr(producer, "enqueue", wait_for_the_ledger)

    async def visit() -> tuple[int, list[int]]:
        async with (
            _serving(producer, settings, BodyLimits()) as port,
            httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers={"x-api-key": _GREEDY}, timeout=60) as one,
        ):
            posts = [one.post("/v1/messages", json=asked("word " * 100_000)) for _ in range(3)]
            sent = [asyncio.create_task(post) for post in posts]
            await asyncio.wait_for(is_held.wait(), timeout=30)
            await asyncio.sleep(2)  # enough for the others to be read, if they had a slot
            at_once = len(held)
            may_go.set()
            return at_once, [response.status_code for response in await asyncio.gather(*sent)]

    assert asyncio.run(visit()) == (1, [503] * 3)


def test_a_large_batch_is_taken_whole(producer: Producer, settings: Settings) -> None:
    requests = [{"custom_id": f"n-{n}", "params": asked("word " * 300)} for n in range(1500)]

    async def visit() -> Any:
        async with visiting(producer, settings, headers={"x-api-key": _GREEDY}) as client:
            return (await client.post(_BATCHES, json={"requests": requests}, timeout=60)).json()

    made = asyncio.run(visit())
    assert made["request_counts"]["processing"] == 1500
    (batch,) = producer.store.reports.batches(limit=2)
    answers = [*producer.store.reports.answers(batch.batch_id)]
    assert [answer.id for answer in answers] == [f"n-{n}" for n in range(1500)]
    params = producer.store.reports.job(answers[-1].job_id)["params"]
    assert params["messages"] == asked("word " * 300)["messages"]
