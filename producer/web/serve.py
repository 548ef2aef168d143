"""`stepdown serve`: listens on an address, with one producer, until a signal ends the server."""

import asyncio
import logging
import socket
import sys

import uvicorn
from uvloop import new_event_loop

from models.errors import InputError
from models.settings import Settings
from producer.client import Producer
from producer.running.listening import is_loopback, listening, url_of
from producer.web.app import app_over
from producer.web.slow_clients import hang_up, log_when_full

_SOURCE = "serve"
_HEAD_S = 15.0  # for the head of a request; without a limit, silent connections soon take all open files


def run(settings: Settings, *, host: str, port: int) -> None:
    """Serve until SIGINT or SIGTERM. Raises InputError for an address that is not allowed, or not free."""
    if not settings.callers and not is_loopback(host):
        problem = f"{host} can be reached from elsewhere: name your callers and their tokens in CALLERS_FILE first"
        raise InputError(problem, source=_SOURCE, field="--host")
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    with Producer(settings, kind="serve") as producer, listening(host, port, source=_SOURCE) as listener:
        config = uvicorn.Config(
            app_over(producer, settings),
            http="h11",
            ws="none",
            lifespan="on",
            log_config=None,  # no log has a line a request
            access_log=False,
            proxy_headers=False,  # else a client with X-Forwarded-For passes for a local client
            server_header=False,
            timeout_graceful_shutdown=round(settings.drain_s),
        )
        sys.stderr.write(f"serving {url_of(listener, host)} ({_for_whom(settings)})\n")
        sys.stderr.flush()
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(_serve(uvicorn.Server(config), listener))


async def _serve(server: uvicorn.Server, listener: socket.socket) -> None:
    log_when_full(asyncio.get_running_loop())
    hanging_up = asyncio.create_task(hang_up(server, after_s=_HEAD_S))
    try:
        await server.serve(sockets=[listener])
    finally:
        hanging_up.cancel()


def _for_whom(settings: Settings) -> str:
    count = len(settings.callers)
    return f"{count} caller{'' if count == 1 else 's'} of CALLERS_FILE" if count else "this machine only"
