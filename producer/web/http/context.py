"""The caller of a request, and the parts that the requests of a server share."""

from dataclasses import dataclass

from starlette.requests import Request

from models.callers import Caller
from models.settings import Settings
from models.store import Store
from producer.client import Producer
from producer.web.http.await_jobs import Waiting
from producer.web.http.limits import Slots
from producer.web.http.live_streams import LiveStreams


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """The parts that all requests share. A stream sends an event every `silent_s` seconds at least.

    A caller whose job has no call in flight after `idle_s` seconds is asked to come back later.
    """

    producer: Producer
    settings: Settings
    waiting: Waiting
    live: LiveStreams
    counting: Slots
    silent_s: float
    idle_s: float


def caller_of(request: Request) -> Caller:
    """Return the caller. Raises TypeError for a path that is open to all."""
    caller: object = request.state.caller
    if not isinstance(caller, Caller):
        raise TypeError(f"{request.url.path} is open to all: it has no caller")
    return caller


def server_of(request: Request) -> Server:
    """Return the parts that all requests share."""
    server: Server = request.app.state.server
    return server


def producer_of(request: Request) -> Producer:
    """Return the producer behind all requests."""
    return server_of(request).producer


def store_of(request: Request) -> Store:
    """Return the stores over the producer's ledger."""
    return server_of(request).producer.store


def settings_of(request: Request) -> Settings:
    """Return the settings of this server."""
    return server_of(request).settings
