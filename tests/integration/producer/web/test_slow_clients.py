"""What strangers do to a server before it knows who they are: connections that say nothing, and ever more of them."""

import asyncio
import errno
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from socket import create_server

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from producer.web.slow_clients import hang_up, log_when_full

_AFTER_S = 0.2
_HEAD = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"


async def _slowly(_: Request) -> Response:
    await asyncio.sleep(3 * _AFTER_S)
    return PlainTextResponse("here")


@asynccontextmanager
async def _listening() -> AsyncIterator[int]:
    """Run a server that hangs up; gives its port."""
    app = Starlette(routes=[Route("/", _slowly)])
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", ws="none", http="h11"))
    with create_server(("127.0.0.1", 0)) as listener:
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        hanging_up = asyncio.create_task(hang_up(server, after_s=_AFTER_S))
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            await serving
            hanging_up.cancel()


async def _said_after(port: int, *parts: bytes) -> bytes:
    """Send parts, each once the one before it is answered; read until the other side hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    message = b""
    for part in parts[:-1]:
        writer.write(part)
        message += await reader.readuntil(b"here")
    writer.write(parts[-1])
    try:
        async with asyncio.timeout(4):  # uvicorn's own patience with a connection that is kept alive is longer
            return message + await reader.read()
    finally:
        writer.close()


@pytest.mark.parametrize("begun", [b"", b"GET / HTTP/1.1\r\nx: a"])
def test_who_never_ends_the_head_of_a_request_is_hung_up_on(begun: bytes) -> None:
    async def visit() -> list[bytes]:
        async with _listening() as port:
            return [await _said_after(port, begun), await _said_after(port, _HEAD, b"GET /")]

    nothing, one = asyncio.run(visit())
    assert (nothing, one.count(b"200 OK")) == (b"", 1)


def test_who_waits_for_an_answer_is_not_hung_up_on() -> None:
    async def visit() -> bytes:
        async with _listening() as port:
            return await _said_after(port, _HEAD, _HEAD, _HEAD.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))

    assert asyncio.run(visit()).count(b"here") == 3


def test_that_no_more_connections_can_be_opened_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    async def fill() -> None:
        loop = asyncio.get_running_loop()
        log_when_full(loop)
        for _ in range(2048):
            error = OSError(errno.EMFILE, "Too many open files")
            loop.call_exception_handler(
                {"message": "socket.accept() out of system resource", "exception": error, "socket": None}
            )
        loop.call_exception_handler({"message": "something else"})

    with caplog.at_level(logging.ERROR):
        asyncio.run(fill())
    assert [record.getMessage().split(":")[0] for record in caplog.records] == ["no more connections", "something else"]
