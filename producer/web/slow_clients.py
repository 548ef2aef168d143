"""Protects the server from clients that open connections and send nothing."""

import asyncio
import logging
from typing import Any

import uvicorn

# asyncio logs these words with a traceback, thousands of times a second.
_NO_MORE = "socket.accept() out of system resource"
_LOG_EVERY_S = 60.0

_log = logging.getLogger("stepdown.serve")


async def hang_up(server: uvicorn.Server, *, after_s: float) -> None:
    """Close the connections that are at the head of a request for `after_s` seconds or more."""
    before = set[tuple[Any, Any]]()
    while True:
        await asyncio.sleep(after_s)
        silent = {(one, getattr(one, "cycle", None)) for one in server.server_state.connections if _is_at_its_head(one)}
        for connection, _ in silent & before:
            connection.transport.close()
        before = silent


def log_when_full(loop: asyncio.AbstractEventLoop) -> None:
    """Log, once a minute, that no more connections can be opened. Other errors are logged as before."""
    logged_at = -_LOG_EVERY_S

    def log(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        nonlocal logged_at
        if context.get("message") != _NO_MORE:
            loop.default_exception_handler(context)
        elif loop.time() - logged_at >= _LOG_EVERY_S:
            logged_at = loop.time()
            _log.error("no more connections: the limit of open files is reached (ulimit -n)")

    loop.set_exception_handler(log)


def _is_at_its_head(connection: Any) -> bool:
    """Return True while a request's head comes. For the time between requests uvicorn has its own timer."""
    cycle = getattr(connection, "cycle", None)
    return (cycle is None or cycle.response_complete) and connection.timeout_keep_alive_task is None
