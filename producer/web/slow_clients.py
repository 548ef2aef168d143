"""What strangers may do to a server before it knows who they are: open connections. They get no hold of it by that."""

import asyncio
import logging
from typing import Any

import uvicorn

_NO_MORE = (
    "socket.accept() out of system resource"  # asyncio's own words, with a traceback, thousands of times a second
)
_SAY_EVERY_S = 60.0

_log = logging.getLogger("stepdown.serve")


async def hang_up(server: uvicorn.Server, *, after_s: float) -> None:
    """Close every `after_s` the connections that have been at the head of one request since the last time."""
    before = set[tuple[Any, Any]]()
    while True:
        await asyncio.sleep(after_s)
        silent = {(one, getattr(one, "cycle", None)) for one in server.server_state.connections if _is_at_its_head(one)}
        for connection, _ in silent & before:
            connection.transport.close()
        before = silent


def say_when_full(loop: asyncio.AbstractEventLoop) -> None:
    """Have it logged, once a minute, that no connection more can be opened; all else as it was."""
    said_at = -_SAY_EVERY_S

    def told(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        nonlocal said_at
        if context.get("message") != _NO_MORE:
            loop.default_exception_handler(context)
        elif loop.time() - said_at >= _SAY_EVERY_S:
            said_at = loop.time()
            _log.error("no more connections: the limit of open files is reached (ulimit -n)")

    loop.set_exception_handler(told)


def _is_at_its_head(connection: Any) -> bool:
    """Tell whether a request is neither answered here nor waited for: then uvicorn has a timer of its own."""
    cycle = getattr(connection, "cycle", None)
    return (cycle is None or cycle.response_complete) and connection.timeout_keep_alive_task is None
