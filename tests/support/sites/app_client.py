"""Visits the application behind `stepdown serve` in this process: no port, the same code."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx2

from models.settings import Settings
from producer.client import Producer
from producer.web.app import app_over

_BASE = "http://127.0.0.1:8700"


@asynccontextmanager
async def visiting(
    producer: Producer,
    settings: Settings,
    *,
    address: str = "127.0.0.1",
    headers: Mapping[str, str] | None = None,
    silent_s: float = 10,
    idle_s: float = 60,
) -> AsyncIterator[httpx2.AsyncClient]:
    """Give a client of a fresh application, which calls from `address`."""
    app = app_over(producer, settings, silent_s=silent_s, idle_s=idle_s)
    transport = httpx2.ASGITransport(app=app, client=(address, 50_000))
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url=_BASE, headers=dict(headers or {})) as client,
    ):
        yield client


def asked(text: str = "Why is the sea salt?", **changes: Any) -> dict[str, Any]:
    """Make the body of a Messages API request."""
    body = {"model": "claude-opus-4-7", "max_tokens": 100, "messages": [{"role": "user", "content": text}]}
    return {**body, **changes}
