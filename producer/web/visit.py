"""What a request comes with once it is let in: who asks, the producer it is asked of, the settings."""

from starlette.requests import Request

from models.books import Books
from models.callers import Caller
from models.settings import Settings
from producer.client import Producer


def caller_of(request: Request) -> Caller:
    """Tell who asks."""
    caller: object = request.state.caller
    if not isinstance(caller, Caller):
        raise TypeError(f"{request.url.path} is open to all: it has no caller")
    return caller


def producer_of(request: Request) -> Producer:
    """Give the one producer behind all requests."""
    producer: object = request.app.state.producer
    if not isinstance(producer, Producer):
        raise TypeError("the application has no producer")
    return producer


def books_of(request: Request) -> Books:
    """Give what reads and writes its ledger."""
    return producer_of(request).books


def settings_of(request: Request) -> Settings:
    """Give the settings this server runs with."""
    settings: object = request.app.state.settings
    if not isinstance(settings, Settings):
        raise TypeError("the application has no settings")
    return settings
