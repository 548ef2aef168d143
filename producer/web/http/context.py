"""What a request comes with once it is let in: who asks, the producer it is asked of, the settings, what waits."""

from typing import TypeVar

from starlette.requests import Request

from models.callers import Caller
from models.settings import Settings
from models.store import Store
from producer.client import Producer
from producer.web.http.await_jobs import Waiting
from producer.web.http.lanes import Lanes

_Held = TypeVar("_Held")


def caller_of(request: Request) -> Caller:
    """Tell who asks."""
    caller: object = request.state.caller
    if not isinstance(caller, Caller):
        raise TypeError(f"{request.url.path} is open to all: it has no caller")
    return caller


def producer_of(request: Request) -> Producer:
    """Give the one producer behind all requests."""
    return _held(request, "producer", Producer)


def books_of(request: Request) -> Store:
    """Give what reads and writes its ledger."""
    return producer_of(request).store


def settings_of(request: Request) -> Settings:
    """Give the settings this server runs with."""
    return _held(request, "settings", Settings)


def waiting_of(request: Request) -> Waiting:
    """Give what waits for the ends of jobs."""
    return _held(request, "waiting", Waiting)


def counting_of(request: Request) -> Lanes:
    """Give the places of those whose tokens the provider counts."""
    return _held(request, "counting", Lanes)


def _held(request: Request, name: str, kind: type[_Held]) -> _Held:
    held = getattr(request.app.state, name)
    if not isinstance(held, kind):
        raise TypeError(f"the application's {name} is a {type(held).__name__}")
    return held
