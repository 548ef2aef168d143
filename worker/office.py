"""Builds what a worker works with, once, at the entry point; everything below takes it as a parameter."""

import os
import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from time import monotonic

from migrations.run import ensure_schema
from models.database import open_database
from models.errors import Mistake, SettingsError
from models.ledger import Ledger
from models.pricebook import PriceBook, context_window
from models.settings import Settings
from worker.cooldown import KeyPause
from worker.events import Tell
from worker.provider import AnthropicProvider
from worker.run import Office
from worker.walk import Desk


@contextmanager
def opened(settings: Settings, *, tell: Tell) -> Iterator[tuple[Office, Ledger]]:
    """Open the ledger and the provider, and close them at the end of the block.

    Raises SettingsError without an API key, LedgerError where the ledger is away or has another schema.
    """
    if settings.anthropic_api_key is None:
        fix = "set it (in .env, or ANTHROPIC_API_KEY_FILE); for the simulator any word will do"
        raise SettingsError([Mistake(variable="ANTHROPIC_API_KEY", value="(not set)", fix=fix)])
    engine = open_database(settings.database_url.get_secret_value())
    ensure_schema(engine)
    prices = PriceBook(settings.price_overrides)
    ledger = Ledger(engine, worker=holder())
    now = datetime.now(UTC)
    ledger.record_prices([price for model in settings.chain.models if (price := prices.price(model, at=now))])
    provider = AnthropicProvider(
        api_key=settings.anthropic_api_key.get_secret_value(),
        base_url=settings.anthropic_base_url,
        call_timeout_s=settings.call_timeout_s,
        connect_timeout_s=settings.connect_timeout_s,
    )
    desk = Desk(
        chain=settings.chain,
        provider=provider,
        ledger=ledger,
        prices=prices,
        key_pause=KeyPause(monotonic),
        tell=tell,
        now=lambda: datetime.now(UTC),
        draw=random.random,
        window_of=context_window,
        climbs=settings.climbs,
        patience_s=settings.patience_s,
        key_pause_s=settings.key_pause_s,
    )
    try:
        yield Office(desk=desk, claims=ledger, lease_s=settings.lease_s), ledger
    finally:
        provider.close()
        engine.dispose()


def holder() -> str:
    """Name this process in leases and attempts: host and process id."""
    return f"{socket.gethostname()}:{os.getpid()}"
