"""A caller whose job has no call in flight is asked to come back later; one whose call goes on is left to wait."""

import asyncio
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr

from models.errors import LedgerError
from models.outcome import State
from models.settings import Settings, load_settings
from producer.client import Producer
from producer.web.api.message_stream import MessageStream
from producer.web.http.await_jobs import Patience
from producer.web.http.live_streams import LiveStream
from tests.support.eventually import eventually
from tests.support.sites.app_client import asked, visiting

_SDKS_PATIENCE = {"x-stainless-timeout": "600"}


@pytest.fixture
def settings(sqlite_url: str, tmp_path: Path) -> Settings:
    """Set up a ledger that no worker looks into."""
    return load_settings(env_file=None, database_url=sqlite_url, state_dir=tmp_path)


def _states(producer: Producer) -> list[dict[str, int]]:
    return [one.states for one in producer.store.reports.batches(limit=2)]


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_job_that_nobody_works_on_is_given_up_long_before_the_clients_own_time(
    settings: Settings, is_stream: bool
) -> None:
    async def ask(producer: Producer) -> httpx2.Response:
        async with visiting(producer, settings, headers=_SDKS_PATIENCE, silent_s=0.1, idle_s=0.5) as client:
            return await client.post("/v1/messages", json=asked(stream=is_stream))

    started = time.monotonic()
    with Producer(settings) as producer:
        late = asyncio.run(ask(producer))
        assert _states(producer) == [{State.CANCELLED: 1}]
    assert time.monotonic() - started < 60
    assert "overloaded_error" in late.text
    if not is_stream:
        assert (late.status_code, late.headers["x-should-retry"]) == (529, "true")


def test_a_ledger_that_is_away_ends_no_wait(settings: Settings, tmp_path: Path) -> None:
    async def ask(producer: Producer) -> tuple[httpx2.Response, float]:
        patient = {"x-stainless-timeout": "4"}
        async with visiting(producer, settings, headers=patient, silent_s=0.2, idle_s=1.0) as client:
            began = time.monotonic()
            asking = asyncio.create_task(client.post("/v1/messages", json=asked()))
            await asyncio.to_thread(
                eventually, lambda: producer.store.outbox.urgent(limit=1), within_s=20, because="it is accepted"
            )
            ledger, away = tmp_path / "ledger.db", tmp_path / "away.db"
            await asyncio.to_thread(ledger.rename, away)
            await asyncio.wait({asking}, timeout=60)
            await asyncio.to_thread(away.rename, ledger)
            return await asking, time.monotonic() - began

    with Producer(settings) as producer:
        late, waited_s = asyncio.run(ask(producer))
    assert waited_s > 3
    assert late.text.count("overloaded_error") == 1
    assert "the ledger cannot be reached, and the job may go on" in late.text
    assert (late.status_code, late.headers["x-should-retry"]) == (529, "false")


def test_a_stream_whose_ledger_is_away_ends_with_an_event() -> None:
    def away(*_: float) -> Any:
        raise LedgerError("away")

    async def read() -> list[str]:
        stream = MessageStream(
            job_id="j",
            end=asyncio.get_running_loop().create_future(),
            live=LiveStream(),
            late=away,
            patience=Patience(timeout_s=0.5, idle_s=0.0, is_idle=away),
            silent_s=0.1,
            until_end=ExitStack(),
        )
        return [text async for text in stream.events()]

    *pings, last = asyncio.run(read())
    assert len(pings) > 1
    assert "event: error" in last


def test_a_job_with_a_call_in_flight_is_waited_for_to_the_end_of_the_clients_time(settings: Settings) -> None:
    async def ask(producer: Producer) -> tuple[httpx2.Response, float]:
        async with visiting(producer, settings, headers={"x-stainless-timeout": "3"}, idle_s=0.5) as client:
            began = time.monotonic()
            asking = asyncio.create_task(client.post("/v1/messages", json=asked()))
            (urgent,) = await asyncio.to_thread(
                eventually, lambda: producer.store.outbox.urgent(limit=1), within_s=20, because="it is accepted"
            )
            assert producer.store.ledger.claim(urgent.id, lease_s=60) is not None
            return await asking, time.monotonic() - began

    with Producer(settings) as producer:
        late, waited_s = asyncio.run(ask(producer))
        assert _states(producer) == [{State.RUNNING: 1}]
    assert waited_s > 2
    assert (late.status_code, late.headers["x-should-retry"]) == (529, "false")


def test_a_server_ends_at_whatever_moment_it_is_asked_to(settings: Settings, redis_url: str) -> None:
    """While it connects to Redis, the client of Redis may take the cancellation for a lost connection."""
    with_redis = settings.model_copy(update={"redis_url": SecretStr(redis_url)})

    async def open_and_close(producer: Producer) -> None:
        for number in range(40):
            async with visiting(producer, with_redis):
                await asyncio.sleep(number % 8 / 1000)

    with Producer(with_redis) as producer:
        asyncio.run(asyncio.wait_for(open_and_close(producer), timeout=120))
